"""One version of an environment, and all that is read out of it.

An :class:`Environment` never changes: :class:`.state.State` replaces it as a whole, so any thread
reads the one it holds without a lock. Identities are evaluated as the Flagsmith server does:
segments and percentage splits by the official SDK, the overrides of an identity by its exact
identifier.
"""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from flagsmith import Flagsmith
from flagsmith.api.types import EnvironmentModel

from . import document as documents
from .document import Document, TraitValue
from .override_texts import OverrideTexts, as_json

#: The reason of a flag that an identity's override decided, as the SDK words it.
OVERRIDE_REASON = "TARGETING_MATCH; segment=identity_overrides"


@dataclass(frozen=True)
class Served:
    """A feature as an identity gets it.

    :param state: the feature state that won.
    :param reason: the SDK's: ``STATIC``, ``DEFAULT``, ``SPLIT; weight=30.0`` or
        ``TARGETING_MATCH; segment=beta_users``.
    """

    state: Mapping[str, Any]
    value: Any
    variant: str | None
    reason: str


class Environment:
    """One version of an environment.

    :param document: the document; nothing changes it from here on.
    :param previous: the version before.
    """

    def __init__(self, document: Document, previous: Environment | None = None) -> None:
        self.document = document
        self._texts: OverrideTexts = OverrideTexts(
            document["identity_overrides"], None if previous is None else previous._texts
        )
        self.client_side_key: str = document["api_key"]
        self.epoch = documents.epoch(document)

    @cached_property
    def served_document(self) -> bytes:
        """The document that the API serves: no traits, and no identity without overrides."""
        return self._with_overrides(self._served_overrides)

    def served_page(self, size: int, after: str | None) -> tuple[bytes, str | None]:
        """Return the document with some of the identity overrides.

        They come in the order of their identifiers, so that a page leaves none out when others are
        added or removed meanwhile.

        :param after: the identifier that the page before ended with.
        :returns: the page, and the identifier it ends with if there is more.
        """
        start = 0 if after is None else bisect_right(self._served_identifiers, after)
        page = self._sorted_overrides[start : start + size]
        has_more = start + size < len(self._sorted_overrides)
        return self._with_overrides(page), page[-1]["identifier"] if has_more else None

    def _with_overrides(self, entries: Sequence[Mapping[str, Any]]) -> bytes:
        members = [
            as_json(name)
            + b":"
            + (self._texts.join(entries) if name == "identity_overrides" else as_json(value))
            for name, value in self.document.items()
        ]
        return b"{" + b",".join(members) + b"}"

    @cached_property
    def _served_overrides(self) -> list[dict[str, Any]]:
        if not self.document.get("use_identity_overrides_in_local_eval", True):
            return []
        return [e for e in self.document["identity_overrides"] if e["identity_features"]]

    @cached_property
    def _sorted_overrides(self) -> list[dict[str, Any]]:
        return sorted(self._served_overrides, key=lambda entry: str(entry["identifier"]))

    @cached_property
    def _served_identifiers(self) -> list[str]:
        return [entry["identifier"] for entry in self._sorted_overrides]

    @cached_property
    def flag_values(self) -> dict[str, Any]:
        """The environment's value of each feature."""
        return {
            state["feature"]["name"]: state["feature_state_value"]
            for state in self.document["feature_states"]
        }

    @cached_property
    def identities(self) -> dict[str, dict[str, Any]]:
        """The identities that have overrides or traits."""
        return {entry["identifier"]: entry for entry in self.document["identity_overrides"]}

    @cached_property
    def first_trait_ids(self) -> dict[str, int]:
        """The id of each identity's first trait: traits are numbered through all identities."""
        ids, number = {}, 1
        for identifier, entry in self.identities.items():
            ids[identifier] = number
            number += len(entry["identity_traits"])
        return ids

    def traits(self, identifier: str) -> dict[str, TraitValue]:
        """The stored traits of an identity."""
        identity = self.identities.get(identifier) or {"identity_traits": []}
        return {trait["trait_key"]: trait["trait_value"] for trait in identity["identity_traits"]}

    def overrides(self, identifier: str) -> list[dict[str, Any]]:
        """The feature states that override the environment for an identity."""
        identity = self.identities.get(identifier) or {"identity_features": []}
        states: list[dict[str, Any]] = identity["identity_features"]
        return states

    def segment_of(self, state: Mapping[str, Any]) -> int | None:
        """The id of the segment that a feature state belongs to."""
        return self._segment_ids.get(id(state))

    @cached_property
    def _segment_ids(self) -> dict[int, int]:
        # By identity, not by django_id: documents of the hosted service have none.
        return {
            id(state): segment["id"]
            for segment in self.document["project"]["segments"]
            for state in segment["feature_states"]
        }

    def evaluate(self, identifier: str, traits: Mapping[str, TraitValue]) -> list[Served]:
        """Return the features as an identity gets them, in the environment's order."""
        overridden = dict(self._evaluate_overrides(identifier))
        flags = self._targeting.get_identity_flags(identifier, cast(Any, dict(traits))).all_flags()
        served = []
        for flag in flags:
            # The number of a state stands where the SDK looks for a feature's id.
            state = self._targeting_states[flag.feature_id]
            if flag.feature_name in overridden:
                served.append(overridden[flag.feature_name])
                continue
            variant = flag.variant
            if state["feature"]["type"] == "MULTIVARIATE" and self.segment_of(state) is not None:
                variant = variant or "control"  # The SDK has none for a segment's override.
            served.append(Served(state, flag.value, variant, flag.reason or "STATIC"))
        return served

    def segments_of(
        self, identifier: str, traits: Mapping[str, TraitValue]
    ) -> list[Mapping[str, Any]]:
        """Return the segments that an identity is in."""
        found = self._targeting.get_identity_segments(identifier, cast(Any, dict(traits)))
        ids = {segment.id for segment in found}
        return [s for s in self.document["project"]["segments"] if s["id"] in ids]

    def _evaluate_overrides(self, identifier: str) -> Iterator[tuple[str, Served]]:
        states = self.overrides(identifier)
        if not states:
            return
        sdk = _evaluator(self.document, states, segments=[])
        for flag in sdk.get_identity_flags(identifier).all_flags():
            state = states[flag.feature_id]
            yield flag.feature_name, Served(state, flag.value, flag.variant, OVERRIDE_REASON)

    @cached_property
    def _targeting_states(self) -> list[dict[str, Any]]:
        return list(documents.feature_states(self.document | {"identity_overrides": []}))

    @cached_property
    def _targeting(self) -> Flagsmith:
        return _evaluator(
            self.document, self.document["feature_states"], self.document["project"]["segments"]
        )


def _evaluator(
    document: Document, states: list[dict[str, Any]], segments: list[dict[str, Any]]
) -> Flagsmith:
    """Make an SDK that evaluates some feature states and segments of a document.

    It passes a feature's id through to the flag, and says in no other way which of a feature's
    states won. So each state gets its number as the feature's id, in a copy. Evaluation itself goes
    by names and by the states' own ids.
    """
    copied: Document = {
        "api_key": document["api_key"],
        "name": document["name"],
        "feature_states": copy.deepcopy(states),
        "project": {"segments": copy.deepcopy(segments)},
        "identity_overrides": [],
    }
    for number, state in enumerate(documents.feature_states(copied)):
        state["feature"]["id"] = number
    return Flagsmith(offline_mode=True, offline_handler=_Document(copied))


class _Document:
    """An offline handler of the SDK that holds its document."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def get_environment(self) -> EnvironmentModel:
        return cast(EnvironmentModel, self._document)
