"""Same-origin policy and CORS: which pages may use the browser endpoints. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from werkzeug.datastructures import Headers
from werkzeug.wsgi import get_host

_PREFLIGHT = {
    "Access-Control-Allow-Headers": (
        "Content-Type, X-Environment-Key, Flagsmith-Application-Name, "
        "Flagsmith-Application-Version, Flagsmith-SDK-User-Agent"
    ),
    "Access-Control-Max-Age": "86400",
}


def is_allowed(environ: dict[str, Any], origins: Collection[str]) -> bool:
    """Returns ``True`` if a request comes from a page of the app itself or of a listed origin.

    Browsers say so in ``Sec-Fetch-Site``, which no proxy between browser and app makes wrong. Over
    plain HTTP they leave it out; then the host of ``Origin`` is compared. Requests of other
    programs have neither header, and no cookies of a victim.
    """
    origin, site = environ.get("HTTP_ORIGIN"), environ.get("HTTP_SEC_FETCH_SITE")
    if origin is not None and origin in origins:
        return True
    if site is not None:
        return site in ("same-origin", "none")
    return origin is None or urlsplit(origin).netloc == get_host(environ)


def add_cors(
    response: Headers,
    environ: dict[str, Any],
    origins: Collection[str],
    methods: str | None = None,
) -> None:
    """Lets a page of a listed origin read an answer.

    :param methods: for the answer to a preflight request, the allowed methods.
    """
    if not origins:
        return
    # Also on answers to other origins: a cache must not give those to a listed one.
    response.add("Vary", "Origin")
    origin = environ.get("HTTP_ORIGIN")
    if origin is None or origin not in origins:
        return
    response["Access-Control-Allow-Origin"] = origin
    response["Access-Control-Allow-Credentials"] = "true"
    response["Access-Control-Expose-Headers"] = "Retry-After, X-Flagsmith-Document-Updated-At"
    if methods is not None:
        response.update(_PREFLIGHT)
        response["Access-Control-Allow-Methods"] = methods
