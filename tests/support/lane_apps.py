"""The apps that a server under test serves: many beside each other, each with its own Flagsmith.

The environment variable ``LANES`` has their settings by name, as JSON. Each app answers under its
name and reports its own state and that of its process.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flask import Flask
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from flask_flagsmith_realtime import FlagsmithRealtime, Identity, flags, snapshot_refreshed


def create_app() -> DispatcherMiddleware:
    """Make all apps."""
    return mount(make_app)


def mount(make: Callable[[str, Mapping[str, Any]], Flask]) -> DispatcherMiddleware:
    """Make all apps by a function of their name and settings."""
    lanes = json.loads(os.environ["LANES"])
    apps: dict[str, Any] = {f"/{name}": make(name, lanes[name]) for name in lanes}
    return DispatcherMiddleware(NotFound(), apps)


def make_app(name: str, settings: Mapping[str, Any]) -> Flask:
    """Make one app."""
    app = Flask(name)
    app.config.update(settings, FLAGSMITH_CUSTOM_HEADERS={"X-Worker": str(os.getpid())})
    #: The states that this process has served, in order.
    epochs: list[float] = []
    banners: list[Any] = []

    @snapshot_refreshed.connect_via(app)
    def note(app: Flask, snapshot: Any) -> None:
        epochs.append(snapshot.epoch)
        banner = snapshot.flags["banner_text"].value
        if banners[-1:] != [banner]:
            banners.append(banner)

    flagsmith = FlagsmithRealtime(app)

    @app.get("/")
    def state() -> dict[str, Any]:
        status = flagsmith.status
        return {
            "pid": os.getpid(),
            "banner": flags.get_feature_value("banner_text", "default"),
            "calls": status.calls,
            "is_greeted": status.last_event is not None,
            "epochs": epochs,
            "banners": banners,
            "most_memory_kib": memory_kib("VmHWM"),
        }

    @app.get("/banner")
    def banner() -> dict[str, Any]:
        return {"pid": os.getpid(), "banner": flags.get_feature_value("banner_text", "default")}

    @app.get("/identity")
    def of_identity() -> dict[str, Any]:
        own = flags.for_identity(Identity("ada"))
        return {"pid": os.getpid(), "banner": own.get_feature_value("banner_text", "default")}

    return app


def memory_kib(which: str) -> int:
    """Return the memory of this process: its current (``VmRSS``) or largest (``VmHWM``) size."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(f"{which}:"))
    return int(line.split()[1])
