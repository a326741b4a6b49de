"""The app whose metrics the tests scrape. Its settings come from the environment."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, Response
from prometheus_client import CollectorRegistry, generate_latest, multiprocess

from flask_flagsmith_realtime import FlagsmithRealtime, flags
from flask_flagsmith_realtime.integrations import prometheus


def create_app() -> Flask:
    app = Flask("metered")
    app.config.from_prefixed_env()
    FlagsmithRealtime(app)
    prometheus.init_app(app, evaluations=True)

    @app.get("/")
    def home() -> dict[str, Any]:
        return {"pid": os.getpid(), "banner": flags.banner_text.value}

    @app.get("/metrics")
    def metrics() -> Response:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        return Response(generate_latest(registry), mimetype="text/plain")

    return app
