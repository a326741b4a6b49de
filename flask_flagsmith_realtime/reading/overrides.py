"""Overrides: what a test says features are, laid over what Flagsmith says. Pure."""

from __future__ import annotations

import dataclasses
import time
from collections import ChainMap
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias, cast

from ..model import Flag, FlagChange, FlagValue, Identity, Snapshot, TraitValue
from .flags import Flags

#: What a feature can be overridden with: ``True`` or ``False`` switch it and leave its value as it
#: is; any other value is its value and switches it on; a :class:`Flag` is taken as it is.
Override: TypeAlias = FlagValue | Flag

REASON = "OVERRIDDEN_BY_TEST"


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """What one test says. No two are equal, so that each can be taken away again.

    :param overrides: by feature name.
    """

    overrides: Mapping[str, Override]


def check_overrides(overrides: Mapping[str, Any]) -> Mapping[str, Override]:
    """Check what features are to be.

    :raises TypeError: naming the feature, what it was given and what would do.
    """
    for name, override in overrides.items():
        if not isinstance(name, str):
            raise TypeError(f"{name!r} is no feature's name: names are text")
        if override is not None and not isinstance(override, (bool, str, int, float, Flag)):
            raise TypeError(
                f"{name!r} cannot be overridden with {type(override).__name__}; give True, False, "
                "a value (text or a number), None or a Flag"
            )
    return MappingProxyType(dict(overrides))


def lay_over(
    flags: Mapping[str, Flag], defaults: Mapping[str, Flag], layers: Sequence[Layer]
) -> Mapping[str, Flag]:
    """Lay overrides over flags, the last layer on top.

    :param flags: what Flagsmith says: for the environment, or for one identity.
    :param defaults: what features are that it does not have.
    """
    # An identity's flags are evaluated as they are read: only what is overridden is read here.
    laid: dict[str, Flag] = {}
    below = ChainMap(laid, cast("dict[str, Flag]", flags), cast("dict[str, Flag]", defaults))
    for layer in layers:
        for name, override in layer.overrides.items():
            laid[name] = _overridden(below.get(name, Flag(name)), override)
    return MappingProxyType(ChainMap(laid, cast("dict[str, Flag]", flags)))


class OverriddenFlags(Flags):
    """Flags as they read under overrides.

    :param flags: the flags below.
    :param layers: the overrides, the last one on top.
    """

    __slots__ = ("_below", "_layers")

    def __init__(self, flags: Flags, layers: Sequence[Layer]) -> None:
        super().__init__(flags._snapshot, flags._defaults, flags._on_missing, flags._identities)
        self._identity = flags._identity
        self._flags = lay_over(flags._flags, flags._defaults, layers)
        self._below = flags
        self._layers = layers

    def for_identity(
        self,
        identifier: str | Identity,
        traits: Mapping[str, TraitValue] | None = None,
        transient: bool = False,
    ) -> Flags:
        return OverriddenFlags(
            self._below.for_identity(identifier, traits, transient), self._layers
        )

    def _flags_of(self, identity: Identity) -> Mapping[str, Flag]:
        return lay_over(self._below._flags_of(identity), self._defaults, self._layers)


def overridden_snapshot(
    snapshot: Snapshot | None, defaults: Mapping[str, Flag], layers: Sequence[Layer]
) -> Snapshot:
    """A snapshot as it reads under overrides; of nothing but them if nothing is known."""
    if snapshot is None:
        snapshot = Snapshot(flags={}, epoch=None, fetched_at=time.time(), environment_id="")
    return dataclasses.replace(snapshot, flags=lay_over(snapshot.flags, defaults, layers))


def changes_by(layer: Layer, before: Snapshot, after: Snapshot) -> Mapping[str, FlagChange]:
    """What changes when a layer comes or goes.

    An override holds for every identity, so a feature that is targeted changes for some of them
    even where the environment's flag stays the same.
    """
    changes: dict[str, FlagChange] = {}
    for name in layer.overrides:
        was, now = before.flags.get(name), after.flags.get(name)
        targeted = name in after.targeting
        if was != now or targeted:
            changes[name] = FlagChange(name, was, now, targeting_changed=targeted)
    return MappingProxyType(changes)


def _overridden(flag: Flag, override: Override) -> Flag:
    if isinstance(override, Flag):
        return dataclasses.replace(override, feature_name=flag.feature_name)
    if isinstance(override, bool):
        return dataclasses.replace(flag, enabled=override, is_default=False, reason=REASON)
    return dataclasses.replace(
        flag, enabled=True, value=override, variant=None, is_default=False, reason=REASON
    )
