"""A snapshot: all that was known of an environment at one moment. Immutable.

Whoever holds one can read it from any thread, without a lock, for as long as they like. What is
derived late takes none either, unlike :func:`functools.cached_property` before Python 3.12: a child
forked in that moment would wait for it for ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from flagsmith import Flagsmith
from flagsmith.models import Flag as EvaluatedFlag
from werkzeug.utils import cached_property

from ..exceptions import InvalidDocumentError
from .browser_rules import BrowserRules, browser_rules_of
from .flag import Experiment, Flag


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The flags of an environment, how to evaluate an identity, its epoch, when it was fetched.

    :param flags: the environment's flags by feature name.
    :param epoch: when the environment last changed, in seconds since 1970; ``None`` if the answer
        did not say.
    :param fetched_at: when it was fetched, in seconds since 1970, by this machine's clock.
    :param environment_id: the client-side key, which names the environment's stream.
    :param document: the environment document; ``None`` in remote evaluation.
    :param evaluator: the official SDK over that document; ``None`` in remote evaluation.
    :param answer: in remote evaluation, the list of flags as ``flags/`` answered it.
    :param server_date: the ``Date`` of the API's answer, in seconds since 1970; ``None`` if it had
        none, or if the snapshot comes from elsewhere.
    """

    flags: Mapping[str, Flag]
    epoch: float | None
    fetched_at: float
    environment_id: str = field(repr=False)
    document: Mapping[str, Any] | None = field(default=None, repr=False)
    evaluator: Flagsmith | None = field(default=None, repr=False)
    answer: Sequence[Mapping[str, Any]] | None = field(default=None, repr=False)
    server_date: float | None = field(default=None, repr=False)

    def has_same_content(self, other: Snapshot) -> bool:
        """Returns ``True`` if Flagsmith's answers are the same."""
        return self.document == other.document and self.answer == other.answer

    @cached_property
    def browser_rules(self) -> BrowserRules:
        """The environment's rules about the flags that may go to a browser."""
        return BrowserRules() if self.document is None else browser_rules_of(self.document)

    @cached_property
    def targeting(self) -> Mapping[str, Sequence[Any]]:
        """All that decides for single identities, by feature name: segments that override the
        feature with their rules, overrides for one identity, and percentage splits.

        Two snapshots whose entries for a feature are equal treat every identity alike, as far as
        that feature goes. Empty in remote evaluation, where Flagsmith does not tell.
        """
        if self.document is None:
            return {}
        targeting: dict[str, list[Any]] = {}
        for state in self.document["feature_states"]:
            if state.get("multivariate_feature_state_values"):
                targeting.setdefault(state["feature"]["name"], []).append(_deciding(state))
        for segment in self.document["project"]["segments"]:
            for state in segment.get("feature_states") or ():
                condition = segment["id"], segment["rules"], state.get("feature_segment")
                targeting.setdefault(state["feature"]["name"], []).append(
                    (*condition, *_deciding(state))
                )
        for identity in self.document.get("identity_overrides") or ():
            for state in identity["identity_features"]:
                targeting.setdefault(state["feature"]["name"], []).append(
                    (identity["identifier"], *_deciding(state))
                )
        return targeting


def _deciding(state: Mapping[str, Any]) -> tuple[Any, ...]:
    """What of a feature state decides an evaluation.

    The ids count only with a split, whose buckets are made of them.
    """
    variants = state.get("multivariate_feature_state_values")
    ids = (state.get("django_id"), state.get("featurestate_uuid")) if variants else None
    return state["enabled"], state["feature_state_value"], variants, ids


class _Document:
    """An environment document, in the form that the SDK's offline mode asks for."""

    def __init__(self, document: Any) -> None:
        self._document = document

    def get_environment(self) -> Any:
        return self._document


def evaluator_of(document: Mapping[str, Any]) -> Flagsmith:
    """The official SDK over an environment document, in its offline mode."""
    return Flagsmith(offline_mode=True, offline_handler=_Document(document))


def snapshot_of_document(
    document: Mapping[str, Any], epoch: float | None, fetched_at: float
) -> Snapshot:
    """Make a snapshot for local evaluation.

    :param document: an environment document whose shape has been checked.
    :raises InvalidDocumentError: if the SDK cannot make sense of it all the same.
    """
    try:
        evaluator = evaluator_of(document)
        evaluated = evaluator.get_environment_flags().all_flags()
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InvalidDocumentError(
            f"the Flagsmith SDK cannot evaluate it ({type(error).__name__}: {error})"
        ) from error
    return Snapshot(
        flags=MappingProxyType({flag.feature_name: flag_of(flag) for flag in evaluated}),
        epoch=epoch,
        fetched_at=fetched_at,
        environment_id=document["api_key"],
        document=document,
        evaluator=evaluator,
    )


def snapshot_of_flags(
    answer: Sequence[Mapping[str, Any]],
    epoch: float | None,
    fetched_at: float,
    environment_id: str,
) -> Snapshot:
    """Make a snapshot for remote evaluation, out of a checked answer of ``flags/``."""
    evaluated = [EvaluatedFlag.from_api_flag(state) for state in answer]
    return Snapshot(
        flags=MappingProxyType({flag.feature_name: flag_of(flag) for flag in evaluated}),
        epoch=epoch,
        fetched_at=fetched_at,
        environment_id=environment_id,
        answer=answer,
    )


def flag_of(evaluated: EvaluatedFlag) -> Flag:
    """Take over a flag that the SDK evaluated, or that the API answered."""
    return Flag(
        feature_name=evaluated.feature_name,
        enabled=evaluated.enabled,
        value=evaluated.value,
        feature_id=evaluated.feature_id,
        variant=evaluated.variant,
        reason=evaluated.reason,
        experiment=_experiment_of(evaluated),
    )


def _experiment_of(evaluated: EvaluatedFlag) -> Experiment | None:
    found = evaluated.experiment
    return None if found is None else Experiment(found.id, found.name, found.in_experiment)
