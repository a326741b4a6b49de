"""Cross-origin requests: pages of every origin may use the API, as on Flagsmith."""

from __future__ import annotations

from flask import Flask, Response, request

#: As django-cors-headers answers for Flagsmith.
_PREFLIGHT = {
    "Access-Control-Allow-Headers": (
        "flagsmith-sdk-user-agent, user-agent, origin, x-csrftoken, x-requested-with, "
        "sentry-trace, tracestate, content-type, flagsmith-application-name, traceparent, "
        "x-e2e-test-auth-token, accept, dnt, baggage, flagsmith-application-version, "
        "authorization, accept-encoding, x-environment-key"
    ),
    "Access-Control-Allow-Methods": "DELETE, GET, OPTIONS, PATCH, POST, PUT",
    "Access-Control-Max-Age": "86400",
}


def allow_every_origin(app: Flask) -> None:
    """Answers preflight requests, and lets pages of every origin read the answers."""

    @app.before_request
    def answer_preflight() -> Response | None:
        if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
            return None
        response = Response(mimetype="text/html")
        response.headers.update(_PREFLIGHT)
        response.headers["Vary"] = "Origin"
        return response

    @app.after_request
    def add_headers(response: Response) -> Response:
        if "Origin" in request.headers:
            response.headers["Access-Control-Allow-Origin"] = "*"
            response.headers["Access-Control-Expose-Headers"] = "Retry-After"
        return response
