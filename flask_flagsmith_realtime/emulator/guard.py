"""Who may ask: programs on this machine, and the emulator's own page.

Any site that a developer visits can make the browser send requests to a server on loopback. It can
do so from its own origin, or under a name of its own that it lets point to 127.0.0.1.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, request
from werkzeug.exceptions import Forbidden

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def protect(app: Flask) -> None:
    """Refuse the requests that other sites can cause."""

    @app.before_request
    def check() -> None:
        if _hostname(f"//{request.host}") not in LOOPBACK_NAMES:
            raise Forbidden("The emulator answers to 127.0.0.1 and localhost only.")
        if request.method not in SAFE_METHODS and not _comes_from_here():
            raise Forbidden("The emulator takes no changes from other sites' pages.")


def _comes_from_here() -> bool:
    """Whether a request is from no page, or from one of the emulator's own."""
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return False
    # A browser names the origin of each POST; 'null' stands for one that it keeps to itself.
    source = request.headers.get("Origin") or request.headers.get("Referer")
    return source is None or _origin(source) == _origin(request.host_url)


def _origin(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return parts.scheme, parts.netloc.lower()


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
