"""Validation of requests: the rules and the error texts of Flagsmith's serializers.

Pure functions. A reader takes the value of a member, or :data:`MISSING`, and returns what is
stored, or raises :class:`ValidationError` with what Flagsmith answers for that member.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from ..document import TraitValue
from .refusals import ServerFaultError

MISSING: Final = object()

#: Limits, in characters.
MAX_IDENTIFIER = 2000
MAX_TRAIT_KEY = 200
MAX_TRAIT_VALUE = 2000

_TRUE = ("t", "y", "yes", "true", "on", "1")
_FALSE = ("f", "n", "no", "false", "off", "0")

Reader = Callable[[Any], Any]


class ValidationError(ValueError):
    """A value is refused.

    :param detail: the part of the answer's body that belongs to it.
    """

    def __init__(self, detail: Any) -> None:
        super().__init__(detail)
        self.detail = detail


def read_object(data: Any, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """Reads the members of an object. Further members are ignored.

    :raises ValidationError: with the errors of all members, by their names.
    """
    if not isinstance(data, Mapping):
        kind = type(data).__name__
        raise ValidationError(
            {"non_field_errors": [f"Invalid data. Expected a dictionary, but got {kind}."]}
        )
    values, errors = {}, {}
    for name, read in readers.items():
        try:
            values[name] = read(data.get(name, MISSING))
        except ValidationError as error:
            errors[name] = error.detail
    if errors:
        raise ValidationError(errors)
    return values


def read_list(data: Any, read: Reader) -> list[Any]:
    """Reads the items of a list.

    :raises ValidationError: with the errors of each item, in order; ``{}`` for a valid one.
    """
    if not isinstance(data, list):
        kind = type(data).__name__
        raise ValidationError(
            {"non_field_errors": [f'Expected a list of items but got type "{kind}".']}
        )
    values: list[Any] = []
    errors: list[Any] = []
    for item in data:
        try:
            values.append(read(item))
            errors.append({})
        except ValidationError as error:
            errors.append(error.detail)
    if any(errors):
        raise ValidationError(errors)
    return values


def text(value: Any, max_length: int | None = None) -> str:
    """Reads a text that must be there; blanks at its ends are removed, as Flagsmith does."""
    _require(value)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValidationError(["Not a valid string."])
    stripped = str(value).strip()
    if not stripped:
        raise ValidationError(["This field may not be blank."])
    if "\0" in stripped:
        raise ValidationError(["Null characters are not allowed."])
    if max_length is not None and len(stripped) > max_length:
        raise ValidationError([f"Ensure this field has no more than {max_length} characters."])
    _check_storable(stripped)
    return stripped


def optional_text(value: Any) -> str:
    """Reads a text; empty if there is none."""
    if value is MISSING or value is None or (isinstance(value, str) and not value.strip()):
        return ""
    return text(value)


def boolean(value: Any) -> bool:
    """Reads a boolean; ``False`` if there is none."""
    if value is MISSING:
        return False
    if value is None:
        raise ValidationError(["This field may not be null."])
    if not isinstance(value, (list, dict)):
        word = str(value).lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
    raise ValidationError(["Must be a valid boolean."])


def integer(value: Any) -> int:
    """Reads an integer that must be there."""
    _require(value)
    try:
        return int(str(value))
    except ValueError:
        raise ValidationError(["A valid integer is required."]) from None


def trait_value(value: Any) -> TraitValue:
    """Reads a trait's value. ``None`` removes the trait; a list or an object is stored as text."""
    if value is MISSING:
        raise ValidationError(["This field is required."])
    if value is None or isinstance(value, (int, float)):
        return value
    stored = str(value)
    if len(stored) > MAX_TRAIT_VALUE:
        raise ValidationError(
            [f"Value string is too long. Must be less than {MAX_TRAIT_VALUE} character"]
        )
    _check_storable(stored)
    return stored


def traits(value: Any) -> list[dict[str, Any]]:
    """Reads the traits of a call to ``identities/``."""
    if value is MISSING:
        return []
    if value is None:
        raise ValidationError(["This field may not be null."])
    return read_list(value, partial(read_object, readers=_TRAIT))


_TRAIT: Mapping[str, Reader] = {
    "trait_key": partial(text, max_length=MAX_TRAIT_KEY),
    "trait_value": trait_value,
    "transient": boolean,
}


def _require(value: Any) -> None:
    if value is MISSING:
        raise ValidationError(["This field is required."])
    if value is None:
        raise ValidationError(["This field may not be null."])


def _check_storable(value: str) -> None:
    """Refuses half of a character outside the basic plane: JSON can carry it, a database cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ServerFaultError from None
