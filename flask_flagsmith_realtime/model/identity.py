"""Identities: the people, or the things, that flags are evaluated for."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias, TypedDict, cast

#: What a trait's value can be. ``None`` removes the trait from the identity.
TraitValue: TypeAlias = str | int | float | bool | None


class TraitConfig(TypedDict):
    """A trait that Flagsmith uses for this evaluation and does not store, as in the SDK. Unless
    ``transient`` is true, it is a trait like others."""

    value: TraitValue
    transient: bool


#: The bound on kept identities, of each place that keeps some: the local and the remote cache of a
#: process, and what one app context has read.
MOST_IDENTITIES = 1024

#: An identity's traits by name.
Traits: TypeAlias = "Mapping[str, TraitValue | TraitConfig]"

_TAKEN_AS_THEY_ARE = frozenset({str, int, bool, type(None)})
_set_member = object.__setattr__
_NO_NAMES: frozenset[str] = frozenset()
_NO_TRAITS: Mapping[str, TraitValue] = MappingProxyType({})


class Identity:
    """A person or a thing, as Flagsmith's segments, percentage splits and overrides see it.

    .. code-block:: python

        Identity("alice@example.com", {"plan": "pro", "age": 37})

    Two identities are equal if all their members are; the order of traits does not matter, the
    types of their values do. Blanks at the ends of the identifier and of traits' names are removed,
    as Flagsmith does it.

    :param identifier: the name of the identity on Flagsmith, always the same for the same person.
    :param traits: text, numbers, ``True`` or ``False`` by name. ``None`` removes a trait. Local
        evaluation knows these alone, remote evaluation also those that Flagsmith keeps.
        ``{"value": …, "transient": True}`` is a trait that Flagsmith does not store.
    :param transient: ``True`` if Flagsmith is not to keep the identity, in remote evaluation. Local
        evaluation sends nothing in any case.
    :raises TypeError: if a member is of a type that Flagsmith does not know, naming it.
    :raises ValueError: if the identifier is blank, or a trait is infinite or not a number.
    """

    # Not a frozen dataclass, which takes twice as long to make: requests make identities. The parts
    # are the identifier, the traits, ``transient``, and the traits again as a key: with the types
    # of their values, since ``True == 1 == 1.0``.
    __slots__ = ("_transient_traits", "parts")

    parts: tuple[str, dict[str, TraitValue], bool, tuple[Hashable, ...]]

    def __init__(
        self,
        identifier: str,
        traits: Traits = _NO_TRAITS,
        transient: bool = False,
    ) -> None:
        # type() and not isinstance(): a proxy such as Flask's passes for what it stands for.
        if type(identifier) is not str:
            identifier = _plain_identifier(identifier)
        identifier = identifier.strip()
        if not identifier:
            raise ValueError("An Identity's identifier is blank; give the name of the person.")
        if type(transient) is not bool:
            raise TypeError(f"transient is {_type_name(transient)}; give True or False.")
        if type(traits) is not dict and not issubclass(type(traits), Mapping):
            raise TypeError(f'traits are {_type_name(traits)}; give a dict: {{"plan": "pro"}}.')
        copied: dict[str, TraitValue] = {}
        key: list[Any] = []
        for name, value in traits.items():
            if type(value) not in _TAKEN_AS_THEY_ARE or type(name) is not str:
                if isinstance(value, Mapping):
                    value = self._take_config(name, value)
                value = _plain_trait(name, value)
            name = name.strip()
            copied[name] = cast(TraitValue, value)
            key += name, type(value), value
        _set_member(self, "parts", (identifier, copied, transient, tuple(key)))

    @property
    def identifier(self) -> str:
        """The name of the identity on Flagsmith."""
        return self.parts[0]

    @property
    def traits(self) -> Mapping[str, TraitValue]:
        """The traits by name."""
        return MappingProxyType(self.parts[1])

    @property
    def transient(self) -> bool:
        """True if Flagsmith is not to keep the identity."""
        return self.parts[2]

    @property
    def transient_traits(self) -> frozenset[str]:
        """The names of the traits that Flagsmith does not store."""
        return getattr(self, "_transient_traits", _NO_NAMES)

    @property
    def key(self) -> Hashable:
        """A key that is equal for equal identities only. The order of traits does not matter."""
        identifier, traits, transient, _ = self.parts
        typed = frozenset((name, type(value), value) for name, value in traits.items())
        return identifier, typed, transient, self.transient_traits

    def __setattr__(self, name: str, value: object = None) -> None:
        raise AttributeError("an Identity cannot be changed; make another one")

    __delattr__ = __setattr__

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Identity) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        identifier, traits, transient = self._arguments
        return f"Identity({identifier!r}, {traits!r}{', transient=True' if transient else ''})"

    def __reduce__(self) -> Any:
        return Identity, self._arguments

    @property
    def _arguments(self) -> tuple[str, Traits, bool]:
        identifier, traits, transient, _ = self.parts
        configs: dict[str, TraitConfig] = {
            name: {"value": traits[name], "transient": True} for name in self.transient_traits
        }
        return identifier, {**traits, **configs}, transient

    def _take_config(self, name: str, config: Mapping[str, Any]) -> Any:
        """Returns the value of a trait that is given with its config."""
        if config.keys() - {"transient"} != {"value"} or not isinstance(
            config.get("transient", False), bool
        ):
            raise TypeError(
                f"The trait {name!r} is {_type_name(config)}; give its value, or "
                '{"value": …, "transient": True}.'
            )
        if config.get("transient"):
            _set_member(self, "_transient_traits", self.transient_traits | {str(name).strip()})
        return config["value"]


def _plain_identifier(identifier: Any) -> str:
    if issubclass(type(identifier), str):
        return str.__str__(identifier)
    hint = "" if identifier is None else ", for example str(user.id)"
    raise TypeError(
        f"An Identity's identifier is {_type_name(identifier)}; give it as text{hint}. For an "
        "anonymous user, give None instead of an Identity."
    )


def _plain_trait(name: Any, value: Any) -> TraitValue:
    """Returns a trait's value as a plain type, if it is of a subclass."""
    if type(name) is not str:
        raise TypeError(f"A trait's name is {_type_name(name)}; give it as text.")
    kind = type(value)
    if issubclass(kind, str):
        return str.__str__(value)
    if value is None or kind is bool:
        return cast(TraitValue, value)
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
