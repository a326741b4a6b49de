"""The guard of the page's forms against other sites (cross-site request forgery).

Any site that a developer visits can make the browser post a form to a server on loopback. A change
is accepted from the emulator's own page and from programs, which are not browsers.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, request
from werkzeug.exceptions import Forbidden

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def refuse_other_sites(app: Flask) -> None:
    """Refuses changes that pages of other origins ask for."""

    @app.before_request
    def check() -> None:
        if request.method not in SAFE_METHODS and not _comes_from_here():
            raise Forbidden("The emulator takes no changes from other sites' pages.")


def _comes_from_here() -> bool:
    """Returns whether a request comes from the emulator's page, or from no page at all."""
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return False
    # A browser sends the origin of each POST; 'null' stands for one that it withholds.
    source = request.headers.get("Origin") or request.headers.get("Referer")
    return source is None or _origin(source) == _origin(request.host_url)


def _origin(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return parts.scheme, parts.netloc.lower()
