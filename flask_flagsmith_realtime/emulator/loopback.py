"""Access by name: the emulator answers requests that are addressed to this machine.

It listens on loopback only, but a site that a developer visits can let a name of its own point to
127.0.0.1 (DNS rebinding): the browser then counts the site and the emulator as one origin. Such a
request names the site's host.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, request
from werkzeug.exceptions import Forbidden

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")


def refuse_other_names(app: Flask) -> None:
    """Refuses requests whose ``Host`` is not a name of loopback."""

    @app.before_request
    def check() -> None:
        if _hostname(f"//{request.host}") not in LOOPBACK_NAMES:
            raise Forbidden("The emulator answers to 127.0.0.1 and localhost only.")


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
