"""The wording of rules, values and reasons on the page."""

from __future__ import annotations

from typing import Any

import pytest

from flask_flagsmith_realtime.emulator.environment import Served
from flask_flagsmith_realtime.emulator.page.values import as_text, kind, parse_trait, parse_value
from flask_flagsmith_realtime.emulator.page.view import reason
from flask_flagsmith_realtime.emulator.rules import conditions, rule_of, sentences


def condition(operator: str, value: Any = None, trait: str | None = "plan") -> dict[str, Any]:
    return {"operator": operator, "value": value, "property_": trait}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (condition("EQUAL", "pro"), "plan is pro"),
        (condition("NOT_EQUAL", "pro"), "plan is not pro"),
        (condition("IN", "pro,team"), "plan is one of pro, team"),
        (condition("IN", ["pro", "team"]), "plan is one of pro, team"),
        (condition("GREATER_THAN_INCLUSIVE", "3", "orders"), "orders is at least 3"),
        (condition("LESS_THAN", "2.1.0:semver", "app"), "app is less than version 2.1.0"),
        (condition("IS_NOT_SET"), "plan is not set"),
        (condition("MODULO", "4|1", "number"), "number divided by 4 leaves 1"),
        (condition("PERCENTAGE_SPLIT", "50", None), "50 % of identities"),
        (condition("PERCENTAGE_SPLIT", 12.5, "team"), "12.5 % of identities by team"),
        (condition("EQUAL", "ada", "$.identity.identifier"), "identifier is ada"),
        (condition("EQUAL", "live", "$.environment.name"), "environment name is live"),
        (condition("NEWER", "x"), "plan NEWER x"),
    ],
)
def test_a_condition_as_text(given: dict[str, Any], words: str) -> None:
    assert sentences([rule_of(given)]) == [words]


def test_rules_as_text() -> None:
    pro, team = condition("EQUAL", "pro"), condition("EQUAL", "team")
    old = condition("GREATER_THAN", "9", "orders")
    either = {"type": "ANY", "conditions": [pro, team], "rules": []}
    neither = {"type": "NONE", "conditions": [pro, team], "rules": []}
    mixed = {"type": "ANY", "conditions": [old], "rules": [dict(either, type="ALL")]}

    assert sentences([{"type": "ALL", "conditions": [old], "rules": [either]}]) == [
        "orders is greater than 9",
        "plan is pro or plan is team",
    ]
    assert sentences([neither]) == ["not (plan is pro or plan is team)"]
    assert sentences([mixed]) == ["orders is greater than 9 or (plan is pro and plan is team)"]
    assert sentences([]) == sentences([{"type": "ANY"}]) == []
    assert list(conditions([mixed, neither])) == [old, pro, team, pro, team]


@pytest.mark.parametrize(
    ("value", "text", "what"),
    [
        (None, "", ""),
        ("Hi", "Hi", "text"),
        (25, "25", "number"),
        (-3, "-3", "number"),
        (True, "true", "true or false"),
        ('{"mug": 1}', '{"mug": 1}', "JSON"),
        ("[1,\n2]", "[1,\n2]", "JSON"),
        ('{"mug": }', '{"mug": }', "text, not valid JSON"),
        ("1.5", "1.5", "text"),
        ("12345678901234567890", "12345678901234567890", "text"),
    ],
)
def test_a_value_in_a_field_and_back(value: Any, text: str, what: str) -> None:
    assert as_text(value) == text
    assert kind(value) == what
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


def test_fields_end_their_lines_as_browsers_do() -> None:
    assert parse_value("{\r\n}") == "{\n}"


def test_a_trait_can_be_a_fraction() -> None:
    assert parse_trait("1.5") == 1.5
    assert parse_trait("-2") == -2
    assert parse_trait("pro") == "pro"
    assert parse_trait("") is None


@pytest.mark.parametrize(
    ("given", "of_segment", "said"),
    [
        ("STATIC", False, ("environment", "environment")),
        ("DEFAULT", False, ("environment", "environment")),
        ("SPLIT; weight=12.5", False, ("split", "split, 12.5 %")),
        ("TARGETING_MATCH; segment=pro", True, ("segment", "segment pro")),
        ("TARGETING_MATCH; segment=identity_overrides", False, ("override", "override")),
        (
            "TARGETING_MATCH; segment=identity_overrides",
            True,
            ("segment", "segment identity_overrides"),
        ),
    ],
)
def test_a_reason_as_text(given: str, of_segment: bool, said: tuple[str, str]) -> None:
    state = {"feature_segment": {"priority": 0} if of_segment else None}
    found = reason(Served(state, value=None, variant=None, reason=given))

    assert (found.kind, found.text) == said
