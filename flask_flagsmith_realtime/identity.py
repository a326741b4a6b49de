"""An identity: the person, or the thing, that flags are evaluated for."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

#: What a trait's value can be. ``None`` removes the trait from the identity.
TraitValue: TypeAlias = str | int | float | bool | None

_TAKEN_AS_THEY_ARE = frozenset({str, int, bool, type(None)})


@dataclass(frozen=True, slots=True, eq=False)
class Identity:
    """Somebody, as Flagsmith's segments, percentage splits and overrides see them.

    .. code-block:: python

        Identity("alice@example.com", {"plan": "pro", "age": 37})

    Two identities are equal if all their members are; the order of traits does not matter, the
    types of their values do.

    :param identifier: what names them on Flagsmith, always the same for the same person.
    :param traits: what is known of them: text, numbers, ``True``, ``False``. ``None`` removes a
        trait. Local evaluation knows these alone, remote evaluation also those that Flagsmith
        keeps.
    :param transient: in remote evaluation, whether Flagsmith is not to keep them. In local
        evaluation it is told nothing in any case.
    :raises TypeError: if a member is of a type that Flagsmith does not know, naming it.
    :raises ValueError: if the identifier is empty, or a trait is infinite or no number.
    """

    identifier: str
    traits: Mapping[str, TraitValue] = field(default_factory=dict)
    transient: bool = False
    #: What tells the traits from others: with their types, since ``True == 1 == 1.0``.
    traits_key: frozenset[Hashable] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Types are asked of type(): a proxy such as Flask's pretends to be what it stands for.
        if type(self.identifier) is not str:
            object.__setattr__(self, "identifier", _plain_identifier(self.identifier))
        if not self.identifier:
            raise ValueError("An Identity's identifier is empty; give what names the person.")
        if type(self.transient) is not bool:
            raise TypeError(f"transient is {_type_name(self.transient)}; give True or False.")
        if type(self.traits) is not dict and not issubclass(type(self.traits), Mapping):
            raise TypeError(
                f'traits are {_type_name(self.traits)}; give a dict: {{"plan": "pro"}}.'
            )
        traits = dict(self.traits)
        for name, value in traits.items():
            if type(value) not in _TAKEN_AS_THEY_ARE:
                traits[name] = _plain_value(name, value)
            if type(name) is not str:
                raise TypeError(f"A trait's name is {_type_name(name)}; give it as text.")
        object.__setattr__(self, "traits", MappingProxyType(traits))
        kinds = map(type, traits.values())
        key = frozenset(zip(traits, kinds, traits.values(), strict=True))
        object.__setattr__(self, "traits_key", key)

    @property
    def key(self) -> Hashable:
        """What tells this identity from others, for a cache."""
        return self.identifier, self.traits_key, self.transient

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Identity) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)


def _plain_identifier(identifier: Any) -> str:
    if issubclass(type(identifier), str):
        return str.__str__(identifier)
    hint = "" if identifier is None else ", for example str(user.id)"
    raise TypeError(
        f"An Identity's identifier is {_type_name(identifier)}; give it as text{hint}. For nobody, "
        "give None instead of an Identity."
    )


def _plain_value(name: str, value: Any) -> TraitValue:
    """A trait's value without what a subclass of its type adds to it."""
    kind = type(value)
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int):
        return int.__int__(value)
    if issubclass(kind, float):
        if not math.isfinite(value):
            raise ValueError(f"The trait {name!r} is {value}; give a finite number.")
        # -0.0 is another number to Flagsmith's splits than the 0.0 that it equals.
        return float.__float__(value) + 0.0
    raise TypeError(
        f"The trait {name!r} is {_type_name(value)}; give text, a number, True, False, or None to "
        "remove it."
    )


def _type_name(value: Any) -> str:
    return type(value).__name__
