"""Reading the bodies of requests: JSON and forms. What cannot be read is refused."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from flask import request

from .refusals import RequestRefusedError

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def read_body() -> Any:
    """Returns what the body of the current request holds.

    :raises RequestRefusedError: 415 if it is neither JSON nor a form, 400 if it is not valid JSON.
    """
    if request.mimetype == "application/json":
        return read_json()
    if request.mimetype in _FORMS:
        return request.form.to_dict()
    if not request.get_data():
        return {}
    raise RequestRefusedError(
        415, {"detail": f'Unsupported media type "{request.content_type or ""}" in request.'}
    )


def read_json() -> Any:
    """Returns what the JSON body of the current request holds.

    :raises RequestRefusedError: 400 if it is not valid JSON.
    """
    try:
        return json.loads(request.get_data(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RequestRefusedError(400, {"detail": f"JSON parse error - {error}"}) from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"Out of range float values are not JSON compliant: {name!r}")
