"""The emulator's Flask app: its parts put together."""

from __future__ import annotations

from flask import Flask

from .api import create_api
from .guard import protect
from .page import create_page
from .state import State
from .stream import Manners, create_stream

#: What the API takes at most; an identity's traits are small.
_LARGEST_BODY_BYTES = 4 * 1024 * 1024


def create_app(state: State, manners: Manners, page_size: int | None) -> Flask:
    """Make the app.

    :param page_size: see :func:`.api.create_api`.
    """
    app = Flask(__name__, static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _LARGEST_BODY_BYTES
    # Features come in the environment's order, not in the alphabet's.
    app.json.sort_keys = False  # type: ignore[attr-defined]
    protect(app)
    app.register_blueprint(create_api(state, page_size))
    app.register_blueprint(create_stream(state, manners))
    app.register_blueprint(create_page(state))
    return app
