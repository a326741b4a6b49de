"""The types of Flagsmith's answers.

msgspec decodes and validates them in one pass, in C. Members without a type here are let through:
Flagsmith may add some. All objects are immutable and unknown to the garbage collector, so that a
large document does not cause full collections.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias
from uuid import UUID

import msgspec

from .flag import Experiment, Flag, FlagValue
from .patterns import matcher_of

#: How deeply rules may be nested, so that their evaluation finds room on any stack.
_MAX_RULE_DEPTH = 32


class JSONObject(msgspec.Struct, frozen=True, gc=False):
    """A JSON object."""


class Feature(JSONObject, frozen=True):
    """A feature."""

    id: int
    name: str
    type: str | None = None


class VariantOption(JSONObject, frozen=True):
    """One of the values of a multivariate feature."""

    value: FlagValue
    key: str | None = None


class Variant(JSONObject, frozen=True):
    """A share of the identities that get one of a multivariate feature's values."""

    multivariate_feature_option: VariantOption
    percentage_allocation: float
    id: int | None = None
    mv_fs_value_uuid: str | None = None

    def __post_init__(self) -> None:
        _ = self.priority

    @property
    def priority(self) -> int:
        """The place of the variant among those of its feature: the lowest number comes first."""
        return self.id or UUID(self.mv_fs_value_uuid or "").int


class FeatureSegment(JSONObject, frozen=True):
    """The priority of a segment's override of a feature: the lowest number wins."""

    priority: float


class FlagMetadata(JSONObject, frozen=True):
    """The metadata of a flag, or of a state of its feature."""

    experiment: Experiment | None = None


class FeatureState(JSONObject, frozen=True):
    """The state of a feature: in the environment, for a segment or for an identity."""

    feature: Feature
    enabled: bool
    feature_state_value: FlagValue
    django_id: int | None = None
    featurestate_uuid: str | None = None
    feature_segment: FeatureSegment | None = None
    multivariate_feature_state_values: tuple[Variant, ...] | None = None
    metadata: FlagMetadata | None = None

    def __post_init__(self) -> None:
        if not self.django_id and self.featurestate_uuid is None:
            raise ValueError("Object missing required field `featurestate_uuid`")


FeatureStates: TypeAlias = tuple[FeatureState, ...]


class Condition(JSONObject, frozen=True):
    """A condition that a trait, or a part of the evaluation context, meets or not."""

    operator: str
    value: str | int | float | bool | list[Any] | None
    property_: str | None = None

    def __post_init__(self) -> None:
        # Other values that the flag engine raises for affect only the features of the segment, or
        # all features that depend on the identity if a segment depends on flags.
        if self.operator == "REGEX":
            matcher_of(str(self.value))


class Rule(JSONObject, frozen=True):
    """A rule: what its type says of its conditions and inner rules."""

    type: Literal["ALL", "ANY", "NONE"]
    conditions: tuple[Condition, ...] = ()
    rules: tuple[Rule, ...] = ()


class Segment(JSONObject, frozen=True):
    """A segment: the identities that all of its rules match, and what it overrides for them."""

    id: int
    name: str
    rules: tuple[Rule, ...]
    feature_states: FeatureStates | None = None

    def __post_init__(self) -> None:
        rules: Sequence[Rule] = self.rules
        for _ in range(_MAX_RULE_DEPTH):
            rules = [inner for rule in rules for inner in rule.rules]
        if rules:
            raise ValueError("the rules are nested too deeply")


class Project(JSONObject, frozen=True):
    """A project: what is the same in all of its environments."""

    segments: tuple[Segment, ...]
    name: str | None = None
    enable_realtime_updates: bool | None = None
    hide_disabled_flags: bool | None = None
    server_key_only_feature_ids: frozenset[int] | None = None


class Settings(JSONObject, frozen=True):
    """Settings of the environment."""

    hide_disabled_flags: bool | None = None
    hide_sensitive_data: bool | None = None
    use_identity_overrides_in_local_eval: bool | None = None
    use_identity_composite_key_for_hashing: bool | None = None


class FlagState(JSONObject, frozen=True):
    """A flag, as ``flags/`` and ``identities/`` answer it."""

    feature: Feature
    enabled: bool
    feature_state_value: FlagValue
    variant: str | None = None
    reason: str | None = None
    metadata: FlagMetadata | None = None

    def flag(self, make: Callable[..., Flag] = Flag) -> Flag:
        """Returns it as a flag.

        :param make: makes a flag, or returns an equal one.
        """
        feature = self.feature
        return make(
            feature.name,
            self.enabled,
            self.feature_state_value,
            feature.id,
            self.variant,
            False,
            self.reason,
            None if self.metadata is None else self.metadata.experiment,
        )
