"""The differences between two snapshots. Pure.

Parts that are the same bytes, or the same object, are not compared. Of all others, the members that
can change an evaluation are compared, as JSON: ``1``, ``1.0`` and ``true`` differ. Lists are sorted
first where an evaluation ignores their order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec

from ..exceptions import InvalidDocumentError
from .document import Document
from .flag import Flag
from .schema import FeatureState
from .snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class FlagChange:
    """The change of one feature.

    :param feature_name: the feature's name.
    :param before: its environment flag before; ``None`` if there was none.
    :param after: its environment flag now; ``None`` if it is gone.
    :param targeting_changed: ``True`` if it changed for some identities: by a segment, an override
        for an identity, or a percentage split. The environment's own flag may be the same.
    """

    feature_name: str
    before: Flag | None
    after: Flag | None
    targeting_changed: bool = False


def diff(before: Snapshot | None, after: Snapshot) -> Mapping[str, FlagChange]:
    """Returns the features that differ in two snapshots, by name.

    :param before: the earlier one; ``None`` if there was none, then every feature is new.
    """
    if before is not None and before.flags is after.flags and before.document is after.document:
        return MappingProxyType({})
    flags_before: Mapping[str, Flag] = before.flags if before is not None else {}
    targeting_changed = _changed_targeting(before, after)
    changes: dict[str, FlagChange] = {}
    for name in {**flags_before, **after.flags}:
        was, now = flags_before.get(name), after.flags.get(name)
        targeted = name in targeting_changed
        if targeted or (was is not now and was != now):
            changes[name] = FlagChange(name, was, now, targeted)
    return MappingProxyType(changes)


def _changed_targeting(before: Snapshot | None, after: Snapshot) -> frozenset[str]:
    """Returns the names of the features that changed for some identities."""
    if after.document is None:
        return frozenset()
    if before is None or before.document is None:
        return after.targeting
    was, now = before.document, after.document
    names: set[str] = set()
    if was.feature_states is not now.feature_states:
        names |= _differences(_splits(was), _splits(now))
    if was.project is not now.project:
        names |= _differences(_segment_overrides(was), _segment_overrides(now))
    for identifier in now.identifiers_with_other_overrides(was):
        names |= _differences(_overrides_of(was, identifier), _overrides_of(now, identifier))
    return frozenset(names)


def _differences(was: Mapping[str, bytes], now: Mapping[str, bytes]) -> set[str]:
    return {name for name in {**was, **now} if was.get(name) != now.get(name)}


def _splits(document: Document) -> dict[str, bytes]:
    return {
        state.feature.name: msgspec.json.encode(_deciding(state))
        for state in document.feature_states
        if state.multivariate_feature_state_values
    }


def _segment_overrides(document: Document) -> dict[str, bytes]:
    """Returns the segments that override a feature, with their rules, by feature name."""
    overrides: dict[str, list[tuple[float, Any]]] = {}
    for segment in document.project.segments:
        for state in segment.feature_states or ():
            priority = math.inf if state.feature_segment is None else state.feature_segment.priority
            content = segment.id, segment.rules, _deciding(state)
            overrides.setdefault(state.feature.name, []).append((priority, content))
    # Of two with the same priority the first one wins.
    return {
        name: msgspec.json.encode(sorted(found, key=lambda override: override[0]))
        for name, found in overrides.items()
    }


def _overrides_of(document: Document, identifier: str) -> dict[str, bytes]:
    try:
        states = document.overrides_of(identifier)
    except InvalidDocumentError:
        return {}
    return {state.feature.name: msgspec.json.encode(_deciding(state)) for state in states}


def _deciding(state: FeatureState) -> tuple[Any, ...]:
    """Returns the members of a feature state that can change an evaluation."""
    variants = sorted(state.multivariate_feature_state_values or (), key=lambda one: one.priority)
    return (
        state.enabled,
        state.feature_state_value,
        [(one.multivariate_feature_option, one.percentage_allocation) for one in variants],
        # The id decides who gets which variant.
        (state.django_id or state.featurestate_uuid) if variants else None,
    )
