"""What differs between two snapshots. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .flag import Flag
from .snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class FlagChange:
    """How one feature changed.

    :param feature_name: the feature's name.
    :param before: its environment flag before; ``None`` if there was none.
    :param after: its environment flag now; ``None`` if it is gone.
    :param targeting_changed: whether it changed for single identities: by a segment, an override
        for one identity, or a percentage split. The environment's own flag may be the same.
    """

    feature_name: str
    before: Flag | None
    after: Flag | None
    targeting_changed: bool = False


def diff(before: Snapshot | None, after: Snapshot) -> Mapping[str, FlagChange]:
    """Compare two snapshots.

    :param before: the earlier one; ``None`` if there was none, then every feature is new.
    :returns: the features that changed, by name.
    """
    flags_before: Mapping[str, Flag] = before.flags if before is not None else {}
    targeting_before = before.targeting if before is not None else {}
    targeting_after = after.targeting
    changes: dict[str, FlagChange] = {}
    for name in {**flags_before, **after.flags}:
        was, now = flags_before.get(name), after.flags.get(name)
        targeting_changed = targeting_before.get(name) != targeting_after.get(name)
        if was != now or targeting_changed:
            changes[name] = FlagChange(name, was, now, targeting_changed)
    return MappingProxyType(changes)
