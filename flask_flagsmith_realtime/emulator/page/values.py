"""Conversion of values to the text of the page's fields, and back. Pure functions."""

from __future__ import annotations

import json
import re

from ..document import TraitValue, Value

_INTEGER = re.compile(r"-?\d{1,18}")
_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,18})?")


def as_text(value: object) -> str:
    """Returns a value as the text of a field; empty for no value."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def parse_value(text: str) -> Value:
    """Parses a feature's value as Flagsmith's dashboard does: digits are a number."""
    text = text.replace("\r\n", "\n")
    if not text:
        return None
    if text in ("true", "false"):
        return text == "true"
    return int(text) if _INTEGER.fullmatch(text) else text


def parse_trait(text: str) -> TraitValue:
    """Parses a trait's value, which can be a fraction. An empty text removes the trait."""
    value = parse_value(text)
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value


def kind(value: object) -> str:
    """Names the kind of a value; empty for no value."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "number"
    text = str(value).strip()
    if text[:1] not in ("{", "["):
        return "text"
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return "text, not valid JSON"
    return "JSON"
