"""Local evaluation of identities, as the Flagsmith server does it.

Flagsmith's flag engine evaluates segments and percentage splits, over the evaluation context that
the official SDK makes of an environment document. Each feature is evaluated by itself when it is
read, with the segments that override it, so the cost does not grow with the environment.

The overrides of an identity are looked up here, by its exact identifier. The SDK compares
identifiers as numbers, merges overrides whose values are equal in Python, and ignores the variant
that an override picks.

An evaluation is derived from one environment document and never changes. Threads share it without a
lock: two may derive the same part of it at the same time, with the same result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec
from flag_engine.engine import get_evaluation_result
from flagsmith.mappers import map_environment_document_to_context
from werkzeug.utils import cached_property

from .document import Document
from .flag import Experiment, Flag
from .identity import TraitValue
from .patterns import BOUNDED_REGEX
from .schema import FeatureState, Rule, Segment

#: How many different flags the identities of one environment share.
_MAX_SHARED_FLAGS = 10_000

#: The SDK's name for the overrides of identities.
_OVERRIDES = "identity_overrides"
_TARGETING_MATCH = "TARGETING_MATCH; segment="

#: Properties of the evaluation context that do not depend on other features.
_PATHS_WITHOUT_FEATURES = ("$.identity.", "$.environment.")

#: A part of the flag engine's evaluation context.
Context: TypeAlias = dict[str, Any]


class Evaluation:
    """The rules of one environment for its identities.

    :param flags: the environment's flags by feature name.
    """

    def __init__(self, document: Document, flags: Mapping[str, Flag]) -> None:
        self.flags = flags
        self._document = document
        self._contexts: dict[str, tuple[Context, Context]] = {}
        # Equal flags of different identities are one object. 1, 1.0 and True are not equal here.
        self._flag = lru_cache(maxsize=_MAX_SHARED_FLAGS, typed=True)(Flag)

    @cached_property
    def untargeted(self) -> Mapping[str, Flag]:
        """The flags that all identities without an override for them share."""
        return {
            name: flag
            for name, flag in self.flags.items()
            if name not in self._segments_by_feature
            and not self._states[name].multivariate_feature_state_values
        }

    @cached_property
    def depends_on_flags(self) -> bool:
        """True if a condition asks for another feature: all are then evaluated together."""
        return any(
            _looks_at_features(path)
            for segment in self._document.project.segments
            for path in _properties(segment.rules)
        )

    def identity(self, identifier: str, traits: Mapping[str, TraitValue]) -> Context:
        """Returns an identity as the flag engine takes it."""
        key = f"{self._document.environment_id}_{identifier}"
        return {"identifier": identifier, "key": key, "traits": traits}

    def evaluate_overrides(self, identity: Context) -> dict[str, Flag]:
        """Returns the flags that are overridden for an identity.

        :raises InvalidDocumentError: if the overrides are malformed.
        """
        flags: dict[str, Flag] = {}
        for state in self._document.overrides_of(identity["identifier"]):
            name = state.feature.name
            if name in self.flags and name not in flags:
                flags[name] = self._overridden(state, identity)
        return flags

    def evaluate_flag(self, name: str, identity: Context) -> Flag:
        """Returns a flag for an identity that has no override for it."""
        features, segments = self._context_of(name)
        return self._evaluate(features, segments, identity)[name]

    def evaluate_all(self, identity: Context, overrides: Mapping[str, Flag]) -> dict[str, Flag]:
        """Returns all flags for an identity with these overrides."""
        if self.depends_on_flags:
            features, segments = self._whole_context_with(overrides)
            evaluated = self._evaluate(features, segments, identity)
            return {name: overrides.get(name, flag) for name, flag in evaluated.items()}
        flags = {**self.untargeted, **overrides}
        return {
            name: flags[name] if name in flags else self.evaluate_flag(name, identity)
            for name in self.flags
        }

    def evaluate_segments(
        self, identity: Context, overrides: Mapping[str, Flag]
    ) -> tuple[str, ...]:
        """Returns the names of the segments that an identity with these overrides is in."""
        if self.depends_on_flags:
            features, segments = self._whole_context_with(overrides)
        else:
            features, segments = {}, self._segments_without_features
        found = self._run(features, segments, identity)["segments"]
        return tuple(
            segment["name"] for segment in found if segment["metadata"]["source"] != _OVERRIDES
        )

    @cached_property
    def _states(self) -> Mapping[str, FeatureState]:
        return {state.feature.name: state for state in self._document.feature_states}

    @cached_property
    def _segments_by_feature(self) -> Mapping[str, Sequence[tuple[Segment, FeatureState]]]:
        """The segments that override a feature, with the override."""
        segments: dict[str, list[tuple[Segment, FeatureState]]] = {}
        for segment in self._document.project.segments:
            for state in segment.feature_states or ():
                segments.setdefault(state.feature.name, []).append((segment, state))
        return segments

    def _context_of(self, name: str) -> tuple[Context, Context]:
        """Returns the part of the evaluation context that decides on one feature."""
        context = self._contexts.get(name)
        if context is None:
            overrides = self._segments_by_feature.get(name, ())
            segments = [_plain(segment, [state]) for segment, state in overrides]
            context = self._contexts[name] = self._map([self._states[name]], segments)
        return context

    @cached_property
    def _whole_context(self) -> tuple[Context, Context]:
        segments = self._document.project.segments
        return self._map(
            self._document.feature_states,
            [_plain(segment, segment.feature_states or ()) for segment in segments],
        )

    @cached_property
    def _segments_without_features(self) -> Context:
        segments = [_plain(segment, ()) for segment in self._document.project.segments]
        return self._map((), segments)[1]

    def _map(
        self, states: Iterable[FeatureState], segments: Sequence[Any]
    ) -> tuple[Context, Context]:
        """Has the SDK make the features and segments of an evaluation context."""
        feature_states = msgspec.to_builtins(states)
        document: Any = {
            "api_key": self._document.environment_id,
            "name": self._document.name,
            "feature_states": feature_states,
            "project": {"segments": segments},
        }
        context: Any = map_environment_document_to_context(document)
        for state in feature_states:
            _add_experiment(context["features"][state["feature"]["name"]], state)
        for segment in context["segments"].values():
            _bound_patterns(segment["rules"])
        for plain in segments:
            overrides = context["segments"][str(plain["id"])]["overrides"]
            for override, state in zip(overrides, plain["feature_states"], strict=False):
                _add_experiment(override, state)
        return context["features"], context["segments"]

    def _whole_context_with(self, overrides: Mapping[str, Flag]) -> tuple[Context, Context]:
        """Returns the whole context, with an identity's overrides as a segment that it is in."""
        features, segments = self._whole_context
        segment = {
            "key": _OVERRIDES,
            "name": _OVERRIDES,
            "rules": [{"type": "ALL"}],
            "overrides": [
                {
                    "key": "",
                    "name": name,
                    "enabled": flag.enabled,
                    "value": flag.value,
                    "priority": float("-inf"),
                    "metadata": {"id": flag.feature_id},
                }
                for name, flag in overrides.items()
            ],
            "metadata": {"source": _OVERRIDES},
        }
        return features, {_OVERRIDES: segment, **segments}

    def _run(self, features: Context, segments: Context, identity: Context) -> Any:
        document = self._document
        context: Any = {
            "environment": {"key": document.environment_id, "name": document.name},
            "identity": identity,
            "features": features,
            "segments": segments,
        }
        return get_evaluation_result(context)

    def _evaluate(self, features: Context, segments: Context, identity: Context) -> dict[str, Flag]:
        results = self._run(features, segments, identity)["flags"]
        return {name: self._flag_of(result) for name, result in results.items()}

    def _flag_of(self, result: Any) -> Flag:
        name, variant, reason = result["name"], result["variant"], result["reason"]
        if variant is None and reason.startswith(_TARGETING_MATCH):
            variant = self._control_of(name)
        return self._flag(
            name,
            result["enabled"],
            result["value"],
            result["metadata"]["id"],
            variant,
            False,
            reason,
            result["metadata"].get("experiment"),
        )

    def _overridden(self, state: FeatureState, identity: Context) -> Flag:
        name, value = state.feature.name, state.feature_state_value
        if state.multivariate_feature_state_values:
            features, _ = self._map([state], [])
            result = self._run(features, {}, identity)["flags"][name]
            value, variant = result["value"], result["variant"]
        else:
            variant = self._control_of(name)
        reason = _TARGETING_MATCH + _OVERRIDES
        return self._flag(name, state.enabled, value, state.feature.id, variant, False, reason)

    def _control_of(self, name: str) -> str | None:
        """Returns the variant of an override that has none: the server calls it the control."""
        state = self._states[name]
        is_multivariate = (
            state.multivariate_feature_state_values or state.feature.type == "MULTIVARIATE"
        )
        return "control" if is_multivariate else None


def _plain(segment: Segment, states: Sequence[FeatureState]) -> Any:
    """Returns a segment as the SDK takes it, with some of its overrides."""
    return {
        "id": segment.id,
        "name": segment.name,
        "rules": msgspec.to_builtins(segment.rules),
        "feature_states": msgspec.to_builtins(states),
    }


def _add_experiment(context: Any, state: Any) -> None:
    """Adds the experiment of a state to its feature or override: the SDK leaves it out."""
    experiment = (state["metadata"] or {}).get("experiment")
    if experiment is not None:
        context["metadata"]["experiment"] = Experiment(**experiment)


def _bound_patterns(rules: Iterable[Any]) -> None:
    """Bounds the time of matching regular expressions."""
    for rule in rules:
        for condition in rule["conditions"]:
            if condition["operator"] == "REGEX":
                condition["operator"] = BOUNDED_REGEX
        _bound_patterns(rule["rules"])


def _properties(rules: Iterable[Rule]) -> Iterator[str]:
    """Yields the properties that rules ask for, those of nested rules included."""
    for rule in rules:
        for condition in rule.conditions:
            yield condition.property_ or ""
        yield from _properties(rule.rules)


def _looks_at_features(path: str) -> bool:
    if not path.startswith("$."):
        return False
    return not path.startswith(_PATHS_WITHOUT_FEATURES) or "$" in path[1:]
