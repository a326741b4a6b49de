"""The rules of segments as sentences, and their conditions.

A segment has rules that must all match. A rule has a type, ``ALL``, ``ANY`` or ``NONE``, and the
conditions and rules to which the type applies. Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

#: The words between a condition's property and its value.
OPERATORS = {
    "EQUAL": "is",
    "NOT_EQUAL": "is not",
    "IN": "is one of",
    "CONTAINS": "contains",
    "NOT_CONTAINS": "does not contain",
    "GREATER_THAN": "is greater than",
    "GREATER_THAN_INCLUSIVE": "is at least",
    "LESS_THAN": "is less than",
    "LESS_THAN_INCLUSIVE": "is at most",
    "REGEX": "matches",
    "MODULO": "modulo",
    "IS_SET": "is set",
    "IS_NOT_SET": "is not set",
    "PERCENTAGE_SPLIT": "% of identities",
}

WITHOUT_VALUE = ("IS_SET", "IS_NOT_SET")

_JOINTS = {"ALL": " and ", "ANY": " or ", "NONE": " or "}


def sentences(rules: Sequence[Mapping[str, Any]]) -> list[str]:
    """Word rules as sentences, which are all true of an identity in the segment."""
    said: list[str] = []
    for rule in rules:
        if rule["type"] == "ALL":
            said += [_condition(condition) for condition in rule.get("conditions", [])]
            said += sentences(rule.get("rules", []))
        elif words := _rule(rule):
            said.append(words)
    return said


def conditions(rules: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yields all conditions, in the order in which :func:`sentences` names them."""
    for rule in rules:
        yield from rule.get("conditions", [])
        yield from conditions(rule.get("rules", []))


def rule_of(condition: Mapping[str, Any]) -> dict[str, Any]:
    """Makes a rule with one condition, nested as Flagsmith's dashboard nests it."""
    inner = {"type": "ANY", "rules": [], "conditions": [condition]}
    return {"type": "ALL", "rules": [inner], "conditions": []}


def _rule(rule: Mapping[str, Any]) -> str:
    parts = [_condition(condition) for condition in rule.get("conditions", [])]
    for inner in rule.get("rules", []):
        words = _rule(inner)
        several = " or " in words or " and " in words
        parts.append(f"({words})" if several else words)
    words = _JOINTS.get(rule["type"], " and ").join(part for part in parts if part)
    return f"not ({words})" if words and rule["type"] == "NONE" else words


def _condition(condition: Mapping[str, Any]) -> str:
    operator, value = condition["operator"], condition.get("value")
    name = _property(condition.get("property_"))
    if operator == "PERCENTAGE_SPLIT":
        return f"{value} % of identities" + (f" by {name}" if name else "")
    if operator == "MODULO":
        divisor, _, remainder = str(value).partition("|")
        return f"{name} divided by {divisor} leaves {remainder}"
    words = f"{name} {OPERATORS.get(operator, operator)}"
    return words if operator in WITHOUT_VALUE else f"{words} {_value(operator, value)}"


def _property(name: str | None) -> str:
    """Returns a trait's name, or the end of a path such as ``$.identity.identifier``."""
    if name and name.startswith("$."):
        return name.removeprefix("$.").removeprefix("identity.").replace(".", " ")
    return name or ""


def _value(operator: str, value: Any) -> str:
    if operator == "IN":
        items = value if isinstance(value, list) else str(value).split(",")
        return ", ".join(str(item) for item in items)
    if isinstance(value, str) and value.endswith(":semver"):
        return f"version {value.removesuffix(':semver')}"
    return str(value)
