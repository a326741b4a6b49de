"""The extension, made once for the whole app, and the features that the shop knows."""

from __future__ import annotations

from flask_flagsmith_realtime import FlagsmithRealtime

flagsmith = FlagsmithRealtime()

#: The flags until Flagsmith answers, and for features that the environment does not have.
DEFAULTS = {
    "banner_text": "Welcome to the tea shop",
    "button_colour": "indigo",
    "pricing": '{"mug": 14, "teapot": 39, "tea_tin": 9}',
    "free_delivery": False,
    "new_checkout": False,
    "beta_dashboard": False,
}
