from asgiref.wsgi import WsgiToAsgi
from flask import Flask

from flask_flagsmith_realtime import flags

from .shop import create_app


def create_asgi_app() -> WsgiToAsgi:
    app: Flask = create_app()

    @app.get("/")
    def home() -> str:
        return str(flags.get_feature_value("banner_text"))

    return WsgiToAsgi(app)
