"""The page's forms. Pure functions that turn the fields of a form into an edit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from werkzeug.datastructures import MultiDict

from .. import edits, rules
from ..document import Document, find_flag, find_identity, find_segment, find_state
from ..edits import UNSET, EditError, Unset
from .values import as_text, parse_trait, parse_value

Form = MultiDict[str, str]
Edit = Callable[[Document], str]


@dataclass(frozen=True)
class Change:
    """A change that a form asks for.

    :param edit: makes it.
    :param announced: Flagsmith announces such a change on the stream.
    """

    edit: Edit
    announced: bool = True


def read(action: str, form: Form) -> Change:
    """Reads a form.

    :param action: a key of :data:`ACTIONS`.
    :raises EditError: if a field is missing or wrong.
    """
    reader = ACTIONS.get(action)
    if reader is None:
        raise EditError(f"there is no action {action!r}")
    return reader(form)


def _switch(form: Form) -> Change:
    return _set(form, enabled=_field(form, "enabled") == "on", text=None)


def _value(form: Form) -> Change:
    return _set(form, enabled=None, text=form.get("value", ""))


def _set(form: Form, enabled: bool | None, text: str | None) -> Change:
    """Sets a feature's state: a segment's or an identity's, if the form names one."""
    feature = _field(form, "feature")
    segment, identity = form.get("segment"), form.get("identity")

    def edit(document: Document) -> str:
        state = _find(document, feature, segment, identity)
        value = UNSET if text is None else _changed(state, text)
        if segment:
            return edits.override_segment(document, segment, feature, enabled, value)
        if identity:
            return edits.override_identity(document, identity, feature, enabled, value)
        return edits.set_flag(document, feature, enabled, value)

    return Change(edit)


def _add_feature(form: Form) -> Change:
    name, text = _field(form, "name").strip(), form.get("value", "")

    def edit(document: Document) -> str:
        if find_flag(document, name):
            raise EditError(f"there is a feature named {name} already")
        return edits.set_flag(document, name, False, parse_value(text))

    return Change(edit)


def _delete_feature(form: Form) -> Change:
    name = _field(form, "feature")
    return Change(lambda document: edits.delete_flag(document, name))


def _set_variants(form: Form) -> Change:
    name = _field(form, "feature")
    variants: dict[Any, float] = {}
    for text, share in zip(form.getlist("variant"), form.getlist("share"), strict=False):
        if text:
            variants[parse_value(text)] = _percentage(share)
    return Change(lambda document: edits.set_variants(document, name, variants))


def _add_segment(form: Form) -> Change:
    name, condition = _field(form, "name").strip(), _conditions(form)[0]

    def edit(document: Document) -> str:
        if find_segment(document, name):
            raise EditError(f"there is a segment named {name} already")
        return edits.set_segment(document, name, [rules.rule_of(condition)], {})

    return Change(edit)


def _set_conditions(form: Form) -> Change:
    name, conditions = _field(form, "segment"), _conditions(form)
    return Change(lambda document: edits.set_conditions(document, name, conditions))


def _delete_segment(form: Form) -> Change:
    name = _field(form, "segment")
    return Change(lambda document: edits.delete_segment(document, name))


def _override(form: Form) -> Change:
    """Adds an override with the opposite state, so that it has an effect."""
    feature, segment = _field(form, "feature"), form.get("segment")
    identity = "" if segment else _field(form, "identity")

    def edit(document: Document) -> str:
        enabled = not (find_flag(document, feature) or {}).get("enabled")
        if segment:
            return edits.override_segment(document, segment, feature, enabled, UNSET)
        return edits.override_identity(document, identity, feature, enabled, UNSET)

    return Change(edit)


def _delete_override(form: Form) -> Change:
    feature, segment = _field(form, "feature"), form.get("segment")
    if segment:
        return Change(lambda document: edits.delete_segment_override(document, segment, feature))
    identity = _field(form, "identity")
    return Change(lambda document: edits.delete_identity_override(document, identity, feature))


def _set_trait(form: Form) -> Change:
    identifier, trait = _field(form, "identity").strip(), _field(form, "trait").strip()
    value = parse_trait(form.get("value", ""))
    return Change(
        lambda document: edits.set_traits(document, identifier, {trait: value}), announced=False
    )


#: The actions of the page's forms, by the end of the path that they are sent to.
ACTIONS: dict[str, Callable[[Form], Change]] = {
    "switch": _switch,
    "value": _value,
    "add-feature": _add_feature,
    "delete-feature": _delete_feature,
    "variants": _set_variants,
    "add-segment": _add_segment,
    "conditions": _set_conditions,
    "delete-segment": _delete_segment,
    "override": _override,
    "delete-override": _delete_override,
    "trait": _set_trait,
}


def _field(form: Form, name: str) -> str:
    text = form.get(name, "")
    if not text.strip():
        raise EditError(f"the field '{name}' is empty")
    return text


def _percentage(text: str) -> float:
    try:
        return float(text or 0)
    except ValueError:
        raise EditError(f"{text!r} is not a percentage") from None


def _conditions(form: Form) -> list[dict[str, Any]]:
    fields = [form.getlist(name) for name in ("property", "operator", "value")]
    if not fields[0] or len({len(field) for field in fields}) != 1:
        raise EditError("each condition needs a trait, an operator and a value")
    return [
        _condition(trait.strip(), operator, value)
        for trait, operator, value in zip(*fields, strict=True)
    ]


def _condition(trait: str, operator: str, value: str) -> dict[str, Any]:
    if operator not in rules.OPERATORS:
        raise EditError(f"there is no operator {operator!r}")
    if operator == "PERCENTAGE_SPLIT":
        if not 0 <= _percentage(value) <= 100:
            raise EditError("a share is 0 to 100 %")
    elif not trait:
        raise EditError("a condition needs a trait, unless it is a share of identities")
    return {
        "operator": operator,
        "value": None if operator in rules.WITHOUT_VALUE else value,
        "property_": trait or None,
    }


def _find(
    document: Document, feature: str, segment: str | None, identity: str | None
) -> dict[str, Any] | None:
    if segment:
        return find_state(
            (find_segment(document, segment) or {}).get("feature_states", []), feature
        )
    if identity:
        entry = find_identity(document, identity) or {}
        return find_state(entry.get("identity_features", []), feature)
    return find_flag(document, feature)


def _changed(state: dict[str, Any] | None, text: str) -> Any | Unset:
    """Reads the value in a field. An unchanged field keeps its value: text like '25' stays text."""
    text = text.replace("\r\n", "\n")
    if state is not None and text == as_text(state["feature_state_value"]).replace("\r\n", "\n"):
        return UNSET
    return parse_value(text)
