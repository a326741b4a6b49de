"""``analytics/flags/``: how often an app evaluated its features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

from flask import Response

from . import validation
from .bodies import read_body
from .refusals import RequestRefusedError
from .resources import Call, Resource


def _count(call: Call) -> Response:
    """Version 1: counts by feature. Flagsmith ignores what it cannot count."""
    body = read_body()
    if not isinstance(body, Mapping):
        raise RequestRefusedError(400, {"non_field_errors": ["Expected a JSON object."]})
    counts = {name: count for name, count in body.items() if type(count) is int}
    _record(call, counts)
    return _empty(200)


def _count_evaluations(call: Call) -> Response:
    """Version 2: counts by feature, identity and state."""
    try:
        body = validation.read_object(read_body(), {"evaluations": _read_evaluations})
    except validation.ValidationError as error:
        raise RequestRefusedError(400, error.detail) from None
    counts: Counter[str] = Counter()
    for evaluation in body["evaluations"]:
        counts[evaluation["feature_name"]] += evaluation["count"]
    _record(call, counts)
    return _empty(204)


_EVALUATION: Mapping[str, validation.Reader] = {
    "feature_name": validation.text,
    "identity_identifier": validation.optional_text,
    "enabled_when_evaluated": validation.boolean,
    "count": validation.integer,
}


def _read_evaluations(value: Any) -> list[dict[str, Any]]:
    if value is validation.MISSING:
        raise validation.ValidationError(["This field is required."])
    return validation.read_list(value, partial(validation.read_object, readers=_EVALUATION))


def _record(call: Call, counts: Mapping[str, int]) -> None:
    """Adds the counts of features that the environment has."""
    known = call.state.environment.flag_values
    call.state.usage.record_evaluations(
        {name: count for name, count in counts.items() if name in known and count > 0}
    )


def _empty(status: int) -> Response:
    response = Response(status=status)
    del response.headers["Content-Type"]
    return response


RESOURCES = (
    Resource("/api/v1/analytics/flags/", "analytics/flags/", {"POST": _count}, "POST, OPTIONS"),
    Resource(
        "/api/v2/analytics/flags/",
        "v2/analytics/flags/",
        {"POST": _count_evaluations},
        "POST, OPTIONS",
    ),
)
