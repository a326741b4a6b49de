"""Whether an answer is what it should be: checked for shape before it replaces anything.

Everything that evaluation touches is checked, also deep inside, so that a malformed document is
refused as a whole, with the reason, rather than failing in somebody's request. Unknown members are
let through: Flagsmith may add some.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn
from uuid import UUID

from .errors import InvalidDocumentError

_RULE_TYPES = ("ALL", "ANY", "NONE")


def parse_json(body: bytes | str) -> Any:
    """Parse JSON strictly: no NaN, no infinity, no bottomless nesting.

    :raises InvalidDocumentError: saying why it is not JSON.
    """
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except RecursionError:
        raise InvalidDocumentError("it is nested too deeply") from None
    except ValueError as error:
        raise InvalidDocumentError(f"it is not JSON ({error})") from None


def check_environment_document(document: Any) -> dict[str, Any]:
    """Check an environment document, as ``environment-document/`` answers it.

    :returns: the document.
    :raises InvalidDocumentError: naming the member that is wrong.
    """
    try:
        environment = _mapping(document, "the document")
        _text(environment.get("api_key"), "api_key")
        _text(environment.get("name"), "name")
        _feature_states(environment.get("feature_states"), "feature_states")
        project = _mapping(environment.get("project"), "project")
        for where, segment in _items(project.get("segments"), "project.segments"):
            _segment(segment, where)
        overrides = environment.get("identity_overrides")
        if overrides is not None:
            check_identity_overrides(overrides)
    except RecursionError:
        raise InvalidDocumentError("its segments' rules are nested too deeply") from None
    return environment


def check_identity_overrides(overrides: Any) -> list[Any]:
    """Check the ``identity_overrides`` of one page of a document.

    :returns: the overrides.
    :raises InvalidDocumentError: naming the member that is wrong.
    """
    for where, override in _items(overrides, "identity_overrides"):
        identity = _mapping(override, where)
        _text(identity.get("identifier"), f"{where}.identifier")
        _feature_states(identity.get("identity_features"), f"{where}.identity_features")
    checked: list[Any] = overrides
    return checked


def check_flags(answer: Any) -> list[dict[str, Any]]:
    """Check a list of flags, as ``flags/`` answers it.

    :returns: the list.
    :raises InvalidDocumentError: naming the member that is wrong.
    """
    for where, flag in _items(answer, "the list of flags"):
        state = _mapping(flag, where)
        _feature(state.get("feature"), f"{where}.feature")
        _switch(state.get("enabled"), f"{where}.enabled")
        _value(state.get("feature_state_value"), f"{where}.feature_state_value")
    checked: list[dict[str, Any]] = answer
    return checked


def _segment(segment: Any, where: str) -> None:
    members = _mapping(segment, where)
    _integer(members.get("id"), f"{where}.id")
    _text(members.get("name"), f"{where}.name")
    _rules(members.get("rules"), f"{where}.rules")
    if members.get("feature_states") is not None:
        _feature_states(members["feature_states"], f"{where}.feature_states")


def _rules(rules: Any, where: str) -> None:
    for place, item in _items(rules, where):
        rule = _mapping(item, place)
        if rule.get("type") not in _RULE_TYPES:
            _fail(f"{place}.type", f"one of {', '.join(_RULE_TYPES)}", rule.get("type"))
        for inner, condition in _items(rule.get("conditions", []), f"{place}.conditions"):
            _condition(condition, inner)
        _rules(rule.get("rules", []), f"{place}.rules")


def _condition(condition: Any, where: str) -> None:
    members = _mapping(condition, where)
    operator = _text(members.get("operator"), f"{where}.operator")
    property_, value = members.get("property_"), members.get("value")
    if property_ is not None and not isinstance(property_, str):
        _fail(f"{where}.property_", "text", property_)
    if "value" not in members:
        _fail(f"{where}.value", "there", None)
    if isinstance(value, list) and operator == "IN":
        return
    if value is None and operator not in ("IN", "PERCENTAGE_SPLIT"):
        return
    if not isinstance(value, str):
        _fail(f"{where}.value", "text", value)


def _feature_states(states: Any, where: str) -> None:
    for place, item in _items(states, where):
        state = _mapping(item, place)
        _feature(state.get("feature"), f"{place}.feature")
        _switch(state.get("enabled"), f"{place}.enabled")
        if "feature_state_value" not in state:
            _fail(f"{place}.feature_state_value", "there", None)
        _value(state["feature_state_value"], f"{place}.feature_state_value")
        if not state.get("django_id") and not state.get("featurestate_uuid"):
            _fail(f"{place}.featurestate_uuid", "there", None)
        variants = state.get("multivariate_feature_state_values")
        if variants is not None:
            for inner, variant in _items(variants, f"{place}.multivariate_feature_state_values"):
                _variant(variant, inner)
        if state.get("feature_segment") is not None:
            priority = _mapping(state["feature_segment"], f"{place}.feature_segment")
            _number(priority.get("priority"), f"{place}.feature_segment.priority")


def _variant(variant: Any, where: str) -> None:
    members = _mapping(variant, where)
    option = _mapping(
        members.get("multivariate_feature_option"), f"{where}.multivariate_feature_option"
    )
    _value(option.get("value"), f"{where}.multivariate_feature_option.value")
    _number(members.get("percentage_allocation"), f"{where}.percentage_allocation")
    if members.get("id"):
        _integer(members["id"], f"{where}.id")
        return
    try:
        UUID(members["mv_fs_value_uuid"])
    except (KeyError, ValueError, TypeError, AttributeError):
        _fail(f"{where}.mv_fs_value_uuid", "a UUID", members.get("mv_fs_value_uuid"))


def _feature(feature: Any, where: str) -> None:
    members = _mapping(feature, where)
    _integer(members.get("id"), f"{where}.id")
    _text(members.get("name"), f"{where}.name")


def _mapping(value: Any, where: str) -> dict[str, Any]:
    return value if isinstance(value, dict) else _fail(where, "an object", value)


def _items(value: Any, where: str) -> list[tuple[str, Any]]:
    if not isinstance(value, list):
        _fail(where, "a list", value)
    return [(f"{where}[{index}]", item) for index, item in enumerate(value)]


def _text(value: Any, where: str) -> str:
    return value if isinstance(value, str) and value else _fail(where, "text", value)


def _switch(value: Any, where: str) -> None:
    if not isinstance(value, bool):
        _fail(where, "true or false", value)


def _integer(value: Any, where: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        _fail(where, "an integer", value)


def _number(value: Any, where: str) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        _fail(where, "a number", value)


def _value(value: Any, where: str) -> None:
    if isinstance(value, (Mapping, list)):
        _fail(where, "text, a number, true, false or null", value)


def _fail(where: str, wanted: str, found: Any) -> NoReturn:
    kind = "missing or null" if found is None else type(found).__name__
    raise InvalidDocumentError(f"{where} should be {wanted}, but is {kind}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
