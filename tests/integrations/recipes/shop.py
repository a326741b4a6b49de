"""The app of the recipes."""

from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime

flagsmith = FlagsmithRealtime()


def create_app() -> Flask:
    app = Flask("shop")
    app.config.from_prefixed_env()
    flagsmith.init_app(app)
    return app
