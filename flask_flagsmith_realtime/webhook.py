"""The webhook: a blueprint that Flagsmith calls when the environment changes.

The view checks the signature, calls :meth:`.Engine.refresh` with a hint, and answers. What the hint
starts is decided by :meth:`.Schedule.hinted`, in the refresher's thread; a follower of a fleet
passes the hint on to its leader. The body is used for the moment of the change only: flags come
from the API alone. So a replay of a signed call causes one more fetch, at most once per minimum
interval.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from typing import Any

from flask import Blueprint, Flask, current_app, request
from flask.typing import ResponseReturnValue

from . import logs
from .app_state import state_of
from .engine import RefreshHint
from .exceptions import ConfigError
from .logs import OncePerCause, SafeLogger
from .model import parse_webhook

logger = SafeLogger(logging.getLogger(__name__))

#: Flagsmith's header with the HMAC-SHA256 of the raw body, in hexadecimal.
SIGNATURE_HEADER = "X-Flagsmith-Signature"
BLUEPRINT = "flagsmith_webhook"
LARGEST_BODY_BYTES = 1024 * 1024

_SECRET = "FLAGSMITH_WEBHOOK_SECRET"  # noqa: S105, the setting's name
_MISSING_SECRET = (
    f"The webhook needs {_SECRET}: a long random text that is also set as the webhook's secret on "
    "Flagsmith, in the environment's settings. Without it, anyone could call the webhook."
)


def make_blueprint() -> Blueprint:
    """Returns the blueprint, which serves any app that has the extension."""
    blueprint = Blueprint(BLUEPRINT, __name__, url_prefix="/flagsmith")
    refusals = OncePerCause(logger, "webhook", "Flagsmith's webhook is accepted again.")

    @blueprint.record
    def check(state: Any) -> None:
        app: Flask = state.app
        if not app.config.get(_SECRET) and not app.testing:
            raise ConfigError(_MISSING_SECRET)

    @blueprint.post("/webhook")
    def receive() -> ResponseReturnValue:
        app = state_of(current_app)
        secret = app.config.webhook_secret
        if secret is None:
            raise ConfigError(_MISSING_SECRET)
        signature = request.headers.get(SIGNATURE_HEADER)
        if signature is None:
            return _refuse(refusals, f"it has no {SIGNATURE_HEADER}")
        request.max_content_length = LARGEST_BODY_BYTES
        body = request.get_data()
        if not is_signed(body, signature, secret):
            return _refuse(refusals, f"its {SIGNATURE_HEADER} does not match its body")
        refusals.recovered()
        app.engine.refresh(RefreshHint(parse_webhook(body)))
        logger.debug(
            "Flagsmith's webhook announced a change to %s.",
            current_app.name,
            extra=logs.fields("webhook_received", app=current_app.name),
        )
        # Not 204: Flagsmith before 2.253 counts 200 alone as success.
        return "", 200

    return blueprint


def is_signed(body: bytes, signature: str, secret: str) -> bool:
    """Compares a signature with the one of a body, in constant time."""
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.strip().encode("utf-8", "replace"))


def _refuse(refusals: OncePerCause, reason: str) -> ResponseReturnValue:
    refusals.problem(
        f"A call of the webhook was refused: {reason}. If it was Flagsmith's, set the webhook's "
        f"secret on Flagsmith, in the environment's settings, to that of {_SECRET}."
    )
    return "The signature is missing or wrong.\n", 403
