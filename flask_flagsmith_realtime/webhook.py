"""The webhook: a blueprint that Flagsmith calls when something changed.

A request checks the signature, puts a note into the mailbox and answers; the refresher does the
rest. Nothing of the body is used but the moment that it names: flags come from the API alone. So
whoever replays a call that was signed once gains one more fetch, as often as the minimum interval
allows.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Flask, current_app, request
from flask.typing import ResponseReturnValue

from . import logs
from .engine import RefreshHint
from .exceptions import ConfigError
from .logs import OncePerCause
from .model import parse_iso_epoch

logger = logging.getLogger(__name__)

#: Flagsmith's header with the HMAC-SHA256 of the raw body, in hexadecimal.
SIGNATURE_HEADER = "X-Flagsmith-Signature"
BLUEPRINT = "flagsmith_webhook"
LARGEST_BODY_BYTES = 1024 * 1024

_SECRET = "FLAGSMITH_WEBHOOK_SECRET"  # noqa: S105, the setting's name


def make_blueprint(
    secret: Callable[[], str | None], tell: Callable[[RefreshHint], None]
) -> Blueprint:
    """Make the blueprint.

    :param secret: the current app's secret.
    :param tell: tells the current app's engine that something changed.
    """
    blueprint = Blueprint(BLUEPRINT, __name__, url_prefix="/flagsmith")
    refusals = OncePerCause(logger, "webhook", "Flagsmith's webhook is accepted again.")

    @blueprint.record
    def check(state: Any) -> None:
        app: Flask = state.app
        if not app.config.get(_SECRET) and not app.testing:
            raise ConfigError(_without_secret())

    @blueprint.post("/webhook")
    def receive() -> ResponseReturnValue:
        key = secret()
        if key is None:
            raise ConfigError(_without_secret())
        signature = request.headers.get(SIGNATURE_HEADER)
        if signature is None:
            return _refuse(refusals, f"it has no {SIGNATURE_HEADER}")
        body = _read_body()
        if body is None:
            return "The body is larger than 1 MiB.\n", 413
        if not is_signed(body, signature, key):
            return _refuse(refusals, f"its {SIGNATURE_HEADER} does not go with its body")
        refusals.recovered()
        tell(RefreshHint(moment_of(body)))
        logger.debug(
            "Flagsmith's webhook told %s of a change.",
            current_app.name,
            extra=logs.fields("webhook_received", app=current_app.name),
        )
        return "", 204

    return blueprint


def is_signed(body: bytes, signature: str, secret: str) -> bool:
    """Whether a signature is the one of a body, compared in constant time."""
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.strip().encode("utf-8", "replace"))


def moment_of(body: bytes) -> float | None:
    """When the change happened that a webhook tells of: ``data.timestamp``, in ISO 8601.

    :returns: the moment in seconds since 1970; ``None`` if the body names none.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    data = content.get("data") if isinstance(content, dict) else None
    return parse_iso_epoch(data.get("timestamp")) if isinstance(data, dict) else None


def _read_body() -> bytes | None:
    """The raw body, but not without bounds; ``None`` if it is too large."""
    length = request.content_length
    if length is not None:
        return request.get_data() if length <= LARGEST_BODY_BYTES else None
    body = bytearray()
    while chunk := request.stream.read(LARGEST_BODY_BYTES + 1 - len(body)):
        body += chunk
        if len(body) > LARGEST_BODY_BYTES:
            return None
    return bytes(body)


def _refuse(refusals: OncePerCause, reason: str) -> ResponseReturnValue:
    refusals.problem(
        f"A call of the webhook was refused: {reason}. If it was Flagsmith's, set the same secret "
        f"there, in the environment's settings, as {_SECRET} has here."
    )
    return "The signature is missing or wrong.\n", 403


def _without_secret() -> str:
    return (
        f"The webhook needs {_SECRET}: a long random text that is also set as the webhook's secret "
        "on Flagsmith, in the environment's settings. Anybody could call it otherwise."
    )
