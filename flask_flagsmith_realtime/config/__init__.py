"""TODO face."""

from __future__ import annotations

from .settings import PREFIX, SERVER_SIDE_PREFIX, Config, read_config, unknown_settings

__all__ = [
    "PREFIX",
    "SERVER_SIDE_PREFIX",
    "Config",
    "read_config",
    "unknown_settings",
]
