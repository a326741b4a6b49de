"""Overrides: the flags that a test sets, on top of those of Flagsmith. Pure."""

from __future__ import annotations

import dataclasses
import time
from collections import ChainMap
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias, cast

import msgspec

from ..model import Flag, FlagValue, Snapshot
from .flags import Flags, WrappedFlags

#: An override of a feature: ``True`` or ``False`` switch it and keep its value; any other value
#: becomes its value and switches it on; a :class:`Flag` is taken as it is.
Override: TypeAlias = FlagValue | Flag

REASON = "OVERRIDDEN_BY_TEST"
#: The reason of a flag that looks different in one browser.
PREVIEW = "PREVIEW"


class Layer(msgspec.Struct, frozen=True, eq=False):
    """The overrides of one test, or of a preview, by feature name; and the reason of the flags. No
    two layers are equal, so each can be removed again."""

    overrides: Mapping[str, Override]
    reason: str = REASON


def check_overrides(overrides: Mapping[str, Any]) -> Mapping[str, Override]:
    """Checks the types of overrides.

    :raises TypeError: with the feature's name, the wrong type and the right ones.
    """
    for name, override in overrides.items():
        if not isinstance(name, str):
            raise TypeError(f"A feature's name must be a str, not {type(name).__name__}: {name!r}")
        if override is not None and not isinstance(override, (bool, str, int, float, Flag)):
            raise TypeError(
                f"{name!r} cannot be overridden with {type(override).__name__}; give True, False, "
                "a value (text or a number), None or a Flag"
            )
    return MappingProxyType(dict(overrides))


def lay_over(
    flags: Mapping[str, Flag], defaults: Mapping[str, Flag], layers: Sequence[Layer]
) -> Mapping[str, Flag]:
    """Returns flags with overrides on top of them, the last layer topmost.

    :param flags: Flagsmith's flags, for the environment or for one identity.
    :param defaults: the flags of features that Flagsmith lacks.
    """
    # An identity's flags are evaluated as they are read: only overridden ones are read here.
    laid: dict[str, Flag] = {}
    below = ChainMap(laid, cast("dict[str, Flag]", flags), cast("dict[str, Flag]", defaults))
    for layer in layers:
        for name, override in layer.overrides.items():
            laid[name] = _overridden(below.get(name, Flag(name)), override, layer.reason)
    return MappingProxyType(ChainMap(laid, cast("dict[str, Flag]", flags)))


class OverriddenFlags(WrappedFlags):
    """Flags with overrides on top of them.

    :param layers: the overrides, the last one topmost.
    """

    __slots__ = ("_below", "_flags", "_layers")

    _flags: Mapping[str, Flag]

    def __init__(self, flags: Flags, layers: Sequence[Layer]) -> None:
        self._flags = lay_over(flags._flags, flags._defaults, layers)
        self._below = flags
        self._layers = layers

    def for_identity(self, *args: Any, **kwargs: Any) -> Flags:
        return OverriddenFlags(self._below.for_identity(*args, **kwargs), self._layers)


def overridden_snapshot(
    snapshot: Snapshot | None, defaults: Mapping[str, Flag], layers: Sequence[Layer]
) -> Snapshot:
    """Returns a snapshot with overrides on top of it; without a snapshot, of the overrides
    alone."""
    if snapshot is None:
        snapshot = Snapshot(flags={}, epoch=None, fetched_at=time.time(), environment_id="")
    return dataclasses.replace(snapshot, flags=lay_over(snapshot.flags, defaults, layers))


def _overridden(flag: Flag, override: Override, reason: str) -> Flag:
    if isinstance(override, Flag):
        return dataclasses.replace(override, feature_name=flag.feature_name)
    # An identity that is shown something else takes part in no experiment.
    flag = dataclasses.replace(flag, is_default=False, reason=reason, experiment=None)
    if isinstance(override, bool):
        return dataclasses.replace(flag, enabled=override)
    return dataclasses.replace(flag, enabled=True, value=override, variant=None)
