"""Whether an answer is what it should be: checked for shape before it replaces anything.

Everything that evaluation touches is checked, also deep inside, so that a malformed document is
refused as a whole, with the reason, rather than failing in somebody's request. Unknown members are
let through: Flagsmith may add some.
"""

from __future__ import annotations

import codecs
import json
import math
import re
import sys
from typing import Any, NoReturn, TypeAlias
from uuid import UUID

import jsonpath_rfc9535

from ..exceptions import InvalidDocumentError

#: The place of a member: its parent's place with its name or index. Put into words if need be only.
_Place: TypeAlias = "tuple[_Place, str | int] | str"

_RULE_TYPES = ("ALL", "ANY", "NONE")
#: How deeply rules may be nested, so that their evaluation finds room on any stack.
_DEEPEST_RULES = 32


def parse_json(body: bytes | str) -> Any:
    """Parse JSON strictly: UTF-8, no NaN, no infinity, no halves of characters, no bottomless
    nesting.

    :raises InvalidDocumentError: saying why it is not JSON.
    """
    try:
        # Not "utf-8-sig": a codec that has to be loaded, perhaps while the process is being forked,
        # and then unknown in the child for good.
        text = body if isinstance(body, str) else body.removeprefix(codecs.BOM_UTF8).decode()
        content = json.loads(text, parse_constant=_refuse_number, parse_float=_finite)
        if "\\ud" in text or "\\uD" in text:
            # A half of a character that is written as an escape could never be sent on.
            json.dumps(content, ensure_ascii=False).encode()
    except RecursionError:
        raise InvalidDocumentError("it is nested too deeply") from None
    except ValueError as error:
        raise InvalidDocumentError(f"it is not JSON ({error})") from None
    return content


def check_environment_document(document: Any) -> dict[str, Any]:
    """Check an environment document, as ``environment-document/`` answers it.

    :returns: the document.
    :raises InvalidDocumentError: naming the member that is wrong.
    """
    environment = _mapping(document, "the document")
    _text(environment.get("api_key"), "api_key")
    _text(environment.get("name"), "name")
    _feature_states(environment.get("feature_states"), "feature_states")
    project = _mapping(environment.get("project"), "project")
    for place, segment in _items(project.get("segments"), ("project", "segments")):
        _segment(segment, place)
    overrides = environment.get("identity_overrides")
    if overrides is not None:
        check_identity_overrides(overrides)
    return environment


def check_identity_overrides(overrides: Any) -> list[Any]:
    """Check the ``identity_overrides`` of one page of a document.

    :returns: the overrides.
    :raises InvalidDocumentError: naming the member that is wrong.
    """
    for place, override in _items(overrides, "identity_overrides"):
        identity = _mapping(override, place)
        _text(identity.get("identifier"), (place, "identifier"))
        _feature_states(identity.get("identity_features"), (place, "identity_features"))
    checked: list[Any] = overrides
    return checked


def check_flags(answer: Any) -> list[dict[str, Any]]:
    """Check a list of flags, as ``flags/`` answers it.

    :returns: the list.
    :raises InvalidDocumentError: naming the member that is wrong.
    """
    for place, flag in _items(answer, "the list of flags"):
        state = _mapping(flag, place)
        _feature(state.get("feature"), (place, "feature"))
        _switch(state.get("enabled"), (place, "enabled"))
        _value(state, "feature_state_value", place)
        _text_or_null(state.get("variant"), (place, "variant"))
        _text_or_null(state.get("reason"), (place, "reason"))
    checked: list[dict[str, Any]] = answer
    return checked


def check_identity(answer: Any) -> list[dict[str, Any]]:
    """Check an identity, as ``identities/`` answers it.

    :returns: its flags.
    :raises InvalidDocumentError: naming the member that is wrong.
    """
    return check_flags(_mapping(answer, "the identity").get("flags"))


def _segment(segment: Any, place: _Place) -> None:
    members = _mapping(segment, place)
    _integer(members.get("id"), (place, "id"))
    _text(members.get("name"), (place, "name"))
    _rules(members.get("rules"), (place, "rules"), _DEEPEST_RULES)
    if members.get("feature_states") is not None:
        _feature_states(members["feature_states"], (place, "feature_states"))


def _rules(rules: Any, place: _Place, levels_left: int) -> None:
    for inner, item in _items(rules, place):
        rule = _mapping(item, inner)
        if rule.get("type") not in _RULE_TYPES:
            _fail((inner, "type"), f"one of {', '.join(_RULE_TYPES)}", rule.get("type"))
        for innermost, condition in _items(rule.get("conditions", []), (inner, "conditions")):
            _condition(condition, innermost)
        if not levels_left:
            raise InvalidDocumentError(f"{_words(place)} are nested too deeply")
        _rules(rule.get("rules", []), (inner, "rules"), levels_left - 1)


def _condition(condition: Any, place: _Place) -> None:
    members = _mapping(condition, place)
    operator = _text(members.get("operator"), (place, "operator"))
    _property(members.get("property_"), (place, "property_"))
    if "value" not in members:
        _fail((place, "value"), "there", None)
    value = members["value"]
    if operator == "IN" and isinstance(value, list):
        return
    if isinstance(value, str):
        check = _VALUE_CHECKS.get(operator)
        if check is not None and not check(value):
            raise InvalidDocumentError(
                f"{_words((place, 'value'))} is not one that {operator} can be evaluated with"
            )
    elif value is not None or operator in ("IN", "PERCENTAGE_SPLIT"):
        _fail((place, "value"), "text", value)


def _property(value: Any, place: _Place) -> None:
    """A trait's name, or a JSONPath into what is evaluated."""
    if _text_or_null(value, place) and value.startswith("$."):
        try:
            jsonpath_rfc9535.compile(value)
        except jsonpath_rfc9535.JSONPathSyntaxError:
            pass  # The SDK takes it as a trait's name.
        except (jsonpath_rfc9535.JSONPathError, RecursionError):
            raise InvalidDocumentError(f"{_words(place)} is not a JSONPath") from None


def _is_list_of_values(value: str) -> bool:
    """JSON or comma-separated: nearly everything is the latter."""
    try:
        return not value.startswith("[") or isinstance(json.loads(value), list)
    except ValueError:
        return True
    except RecursionError:
        return False


def _is_regular_expression(value: str) -> bool:
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def _is_no_division_by_zero(value: str) -> bool:
    """The SDK takes what is not ``divisor|remainder`` as a condition that nobody meets."""
    try:
        return float(value.partition("|")[0]) != 0
    except ValueError:
        return True


#: By operator, whether the SDK's evaluation of a condition with that value cannot raise.
_VALUE_CHECKS = {
    "IN": _is_list_of_values,
    "MODULO": _is_no_division_by_zero,
    "REGEX": _is_regular_expression,
}


def _feature_states(states: Any, place: _Place) -> None:
    for inner, item in _items(states, place):
        state = _mapping(item, inner)
        _feature(state.get("feature"), (inner, "feature"))
        _switch(state.get("enabled"), (inner, "enabled"))
        _value(state, "feature_state_value", inner)
        if state.get("django_id"):
            _integer(state["django_id"], (inner, "django_id"))
        else:
            _text(state.get("featurestate_uuid"), (inner, "featurestate_uuid"))
        variants = state.get("multivariate_feature_state_values")
        if variants:
            for place_, variant in _items(variants, (inner, "multivariate_feature_state_values")):
                _variant(variant, place_)
        if state.get("feature_segment") is not None:
            priority = _mapping(state["feature_segment"], (inner, "feature_segment"))
            _number(priority.get("priority"), ((inner, "feature_segment"), "priority"))


def _variant(variant: Any, place: _Place) -> None:
    members = _mapping(variant, place)
    inner = (place, "multivariate_feature_option")
    option = _mapping(members.get("multivariate_feature_option"), inner)
    _value(option, "value", inner)
    _text_or_null(option.get("key"), (inner, "key"))
    _number(members.get("percentage_allocation"), (place, "percentage_allocation"))
    if members.get("id"):
        _integer(members["id"], (place, "id"))
        return
    try:
        UUID(members["mv_fs_value_uuid"])
    except (KeyError, ValueError, TypeError, AttributeError):
        _fail((place, "mv_fs_value_uuid"), "a UUID", members.get("mv_fs_value_uuid"))


def _feature(feature: Any, place: _Place) -> None:
    members = _mapping(feature, place)
    _integer(members.get("id"), (place, "id"))
    _text(members.get("name"), (place, "name"))


def _mapping(value: Any, place: _Place) -> dict[str, Any]:
    return value if isinstance(value, dict) else _fail(place, "an object", value)


def _items(value: Any, place: _Place) -> list[tuple[_Place, Any]]:
    if not isinstance(value, list):
        _fail(place, "a list", value)
    return [((place, index), item) for index, item in enumerate(value)]


def _text(value: Any, place: _Place) -> str:
    return value if isinstance(value, str) and value else _fail(place, "text", value)


def _text_or_null(value: Any, place: _Place) -> str | None:
    return value if value is None or isinstance(value, str) else _fail(place, "text", value)


def _switch(value: Any, place: _Place) -> None:
    if not isinstance(value, bool):
        _fail(place, "true or false", value)


def _integer(value: Any, place: _Place) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        _fail(place, "an integer", value)


def _number(value: Any, place: _Place) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        _fail(place, "a number", value)
    if abs(value) > sys.float_info.max:
        raise InvalidDocumentError(f"{_words(place)} is too large a number")


def _value(members: dict[str, Any], name: str, place: _Place) -> None:
    if name not in members:
        _fail((place, name), "there", None)
    if isinstance(members[name], (dict, list)):
        _fail((place, name), "text, a number, true, false or null", members[name])


def _fail(place: _Place, wanted: str, found: Any) -> NoReturn:
    if found is None:
        kind = "missing or null"
    elif found == "":
        kind = "empty"
    else:
        kind = type(found).__name__
    raise InvalidDocumentError(f"{_words(place)} should be {wanted}, but is {kind}")


def _words(place: _Place) -> str:
    """Write a place as one would in code: ``project.segments[0].rules``."""
    if isinstance(place, str):
        return place
    parent, member = place
    return (
        f"{_words(parent)}[{member}]" if isinstance(member, int) else f"{_words(parent)}.{member}"
    )


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is not a number that JSON has")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_number(text)
