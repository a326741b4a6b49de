"""Checks that the flag engine can evaluate a condition, so that none raises in a request.

The engine takes any value for most operators and finds that it does not match. For some operators
it raises instead; these values are refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flag_engine.context.types import EvaluationContext
from flag_engine.segments.evaluator import get_context_value

from .patterns import matcher_of

_EMPTY_CONTEXT: EvaluationContext[Any, Any] = {"environment": {"key": "", "name": ""}}


def check_condition(operator: str, name: str | None, value: object) -> None:
    """Checks one condition of a segment's rule.

    :param name: the trait's name, or a JSONPath that begins with ``$.``.
    :raises ValueError: if the engine cannot evaluate it.
    """
    if check := _VALUE_CHECKS.get(operator):
        check(value)
    if isinstance(value, int):
        try:
            float(value)
        except OverflowError:
            raise ValueError("the value is too large a number") from None
    if name is not None and name.startswith("$."):
        try:
            get_context_value(_EMPTY_CONTEXT, name)
        except Exception as error:
            raise ValueError(f"property_ is not a JSONPath: {error}") from None


def _check_list(value: object) -> None:
    if isinstance(value, list):
        return
    if not isinstance(value, str):
        raise ValueError("the value of IN must be text or an array")
    if value.startswith("["):
        try:
            json.loads(value)
        except RecursionError:
            raise ValueError("the value of IN is nested too deeply") from None
        except ValueError:
            pass  # The engine takes it as separated by commas.


def _check_pattern(value: object) -> None:
    try:
        matcher_of(str(value))
    except ValueError as error:
        raise ValueError(f"the value of REGEX is {error}") from None


def _check_modulo(value: object) -> None:
    if not value:
        return
    if not isinstance(value, str):
        raise ValueError("the value of MODULO must be text")
    try:
        divisor, _ = map(float, value.split("|"))
    except ValueError:
        return  # The engine finds that nothing matches.
    if divisor == 0:
        raise ValueError("the value of MODULO divides by zero")


def _check_percentage(value: object) -> None:
    if not isinstance(value, (str, int, float)):
        raise ValueError("the value of PERCENTAGE_SPLIT must be text or a number")


_VALUE_CHECKS: dict[str, Callable[[object], None]] = {
    "IN": _check_list,
    "REGEX": _check_pattern,
    "MODULO": _check_modulo,
    "PERCENTAGE_SPLIT": _check_percentage,
}
