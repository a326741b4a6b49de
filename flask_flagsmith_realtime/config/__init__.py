"""The settings of an app: read from ``app.config``, checked, frozen."""

from __future__ import annotations

from .settings import PREFIX, SERVER_SIDE_PREFIX, Config, read_config, unknown_settings

__all__ = [
    "PREFIX",
    "SERVER_SIDE_PREFIX",
    "Config",
    "read_config",
    "unknown_settings",
]
