"""Slow Leaf, a small tea shop whose pages follow Flagsmith: an example to copy from.

Where to look:

- ``features.py``: the extension, and what serves until Flagsmith answers;
- ``shop.py`` and ``templates/``: reading flags in views and templates, a route behind a flag;
- ``people.py``: the identity of a request, for segments, overrides and percentage splits;
- ``prices.py``: a JSON value, parsed once and again when it changes;
- ``counter.py``: a receiver of a signal;
- ``templates/base.html``: open pages that follow changes without a reload;
- ``static/basket.js``: a part of the page that Flagsmith's JavaScript SDK renders.

Try it with ``make demo``; serve it with ``flask --app example_app run`` or
``gunicorn --config python:example_app.gunicorn_conf 'example_app:create_app()'``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask

from . import counter, people, prices, shop
from .features import DEFAULTS, flagsmith


def create_app(settings: Mapping[str, Any] | None = None) -> Flask:
    """Make the shop.

    :param settings: take precedence over the ``FLASK_…`` environment variables.
    """
    app = Flask(__name__)
    app.config.from_mapping(
        FLAGSMITH_DEFAULTS=DEFAULTS,
        SECRET_KEY="not a secret: this is a demo",  # noqa: S106 - FLASK_SECRET_KEY sets another
        SESSION_COOKIE_SAMESITE="Lax",
    )
    app.config.from_prefixed_env()
    app.config.from_mapping(settings or {})
    flagsmith.init_app(app)
    for blueprint in (shop.blueprint, people.blueprint, flagsmith.browser):
        app.register_blueprint(blueprint)
    app.context_processor(counter.template_names)
    app.add_template_filter(prices.money)
    app.register_error_handler(404, shop.not_found)
    return app
