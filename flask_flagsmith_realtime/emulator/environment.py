"""One version of an environment, and all that is read out of it.

An :class:`Environment` never changes: :class:`.state.State` replaces it as a whole, so any thread
reads the one it holds without a lock. Identities are evaluated by the same code as in an app with
local evaluation, which recordings of a real server are compared with.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from ..model import Evaluation, Flag, Snapshot, first_page, snapshot_of_pages
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
        return self._joined(self.document, self._served_overrides)

    def served_page(self, size: int, after: str | None) -> tuple[bytes, str | None]:
        """Returns the document with some of the identity overrides.

        They come in the order of their identifiers, so that a page leaves none out when others are
        added or removed meanwhile.

        :param after: the identifier that the page before ended with.
        :returns: the page, and the identifier it ends with if there is more.
        """
        start = 0 if after is None else bisect_right(self._served_identifiers, after)
        page = self._sorted_overrides[start : start + size]
        has_more = start + size < len(self._sorted_overrides)
        return self._joined(self.document, page), page[-1]["identifier"] if has_more else None

    def _joined(self, document: Document, overrides: Sequence[Mapping[str, Any]]) -> bytes:
        """Serializes a document with other identity overrides, which are serialized already."""
        members = [
            as_json(name)
            + b":"
            + (self._texts.join(overrides) if name == "identity_overrides" else as_json(value))
            for name, value in document.items()
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
        """Returns the features as an identity gets them, in the environment's order."""
        evaluation = self._evaluation
        identity = evaluation.identity(identifier, _set(traits))
        overridden = self._evaluate_overrides(identifier)
        states = {state["feature"]["name"]: state for state in self.overrides(identifier)}
        return [
            Served(
                state=states[name] if name in overridden else self._states[flag.feature_id or 0],
                value=flag.value,
                variant=flag.variant,
                reason=flag.reason or "STATIC",
            )
            for name, flag in evaluation.evaluate_all(identity, overridden).items()
        ]

    def segments_of(
        self, identifier: str, traits: Mapping[str, TraitValue]
    ) -> list[Mapping[str, Any]]:
        """Returns the segments that an identity is in."""
        identity = self._evaluation.identity(identifier, _set(traits))
        names = self._evaluation.evaluate_segments(identity, self._evaluate_overrides(identifier))
        return [s for s in self.document["project"]["segments"] if s["name"] in names]

    def _evaluate_overrides(self, identifier: str) -> Mapping[str, Flag]:
        entry = self.identities.get(identifier)
        if entry is None or not entry["identity_features"]:
            return {}
        snapshot = self._with_numbers([entry], held=self._rules)
        evaluation = cast(Evaluation, snapshot.evaluation)
        return evaluation.evaluate_overrides(evaluation.identity(identifier, {}))

    @cached_property
    def _states(self) -> list[dict[str, Any]]:
        """The states of the environment and the segments, by their numbers."""
        return list(documents.feature_states(self.document | {"identity_overrides": []}))

    @property
    def _evaluation(self) -> Evaluation:
        return cast(Evaluation, self._rules.evaluation)

    @cached_property
    def _rules(self) -> Snapshot:
        """A copy of the document in which each state has its own feature id, for evaluation.

        A feature's id is passed through to the flag, and nothing else says which of a feature's
        states won. Evaluation itself goes by names and by the states' own ids.
        """
        return self._with_numbers([], held=None)

    def _with_numbers(
        self, overrides: Sequence[Mapping[str, Any]], held: Snapshot | None
    ) -> Snapshot:
        body = self._joined(self._numbered, overrides)
        return snapshot_of_pages([first_page(body)], self.epoch, self.epoch, held)

    @cached_property
    def _numbered(self) -> Document:
        numbered: Document = json.loads(as_json(self.document | {"identity_overrides": []}))
        for number, state in enumerate(documents.feature_states(numbered)):
            state["feature"]["id"] = number
        return numbered


def _set(traits: Mapping[str, TraitValue]) -> dict[str, Any]:
    """The traits that have a value."""
    return {key: value for key, value in traits.items() if value is not None}
