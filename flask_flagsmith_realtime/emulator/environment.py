"""One version of an environment, and all that is read out of it.

An :class:`Environment` never changes: :class:`.state.State` replaces it as a whole, so whoever
holds one can read it in any thread without a lock. Identities are evaluated by the official SDK.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from flagsmith import Flagsmith
from flagsmith.api.types import EnvironmentModel

from . import document as documents
from .document import Document, TraitValue


@dataclass(frozen=True)
class Served:
    """What an identity gets of a feature: the feature state that won, the value of it, and why.

    ``reason`` is the SDK's: ``STATIC``, ``DEFAULT``, ``SPLIT; weight=30.0`` or
    ``TARGETING_MATCH; segment=beta_users``.
    """

    state: Mapping[str, Any]
    value: Any
    variant: str | None
    reason: str


class Environment:
    """One version of an environment.

    :param document: the document; nobody changes it from here on.
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        self.client_side_key: str = document["api_key"]
        self.epoch = documents.epoch(document)

    @cached_property
    def served_document(self) -> Document:
        """The document as the API gives it: traits, and identities with nothing else, stay here."""
        return self.document | {
            "identity_overrides": [
                identity | {"identity_traits": []}
                for identity in self.document["identity_overrides"]
                if identity["identity_features"]
            ]
        }

    @cached_property
    def flag_values(self) -> dict[str, Any]:
        """The environment's value of each feature."""
        return {
            state["feature"]["name"]: state["feature_state_value"]
            for state in self.document["feature_states"]
        }

    def segment_of(self, state: Mapping[str, Any]) -> int | None:
        """The id of the segment that a feature state belongs to."""
        return self._segments.get(id(state))

    @cached_property
    def _segments(self) -> dict[int, int]:
        # By identity, not by django_id: documents of the hosted service have none.
        return {
            id(state): segment["id"]
            for segment in self.document["project"]["segments"]
            for state in segment["feature_states"]
        }

    def traits(self, identifier: str) -> dict[str, TraitValue]:
        """The traits kept of an identity."""
        identity = documents.find_identity(self.document, identifier) or {"identity_traits": []}
        return {trait["trait_key"]: trait["trait_value"] for trait in identity["identity_traits"]}

    def evaluate(self, identifier: str, traits: Mapping[str, TraitValue]) -> list[Served]:
        """What an identity gets, in the order of the environment's features."""
        flags = self._sdk.get_identity_flags(identifier, cast(Any, dict(traits))).all_flags()
        return [
            Served(
                # The number of a state stands where the SDK looks for a feature's id (see _sdk).
                state=self._states[flag.feature_id],
                value=flag.value,
                variant=flag.variant,
                reason=flag.reason or "STATIC",
            )
            for flag in flags
        ]

    @cached_property
    def _states(self) -> list[dict[str, Any]]:
        return list(documents.feature_states(self.document))

    @cached_property
    def _sdk(self) -> Flagsmith:
        """The SDK with a copy of the document in which each feature state has its own feature id.

        The SDK passes a feature's id through to the flag, and says in no other way which of a
        feature's states won. Evaluation itself goes by names and by the states' own ids.
        """
        document = copy.deepcopy(self.document)
        for number, state in enumerate(documents.feature_states(document)):
            state["feature"]["id"] = number
        return Flagsmith(offline_mode=True, offline_handler=_Document(document))


class _Document:
    """An offline handler of the SDK that holds its document."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def get_environment(self) -> EnvironmentModel:
        return cast(EnvironmentModel, self._document)
