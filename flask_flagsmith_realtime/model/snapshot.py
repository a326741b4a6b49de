"""A snapshot: all that was known of an environment at one moment. Immutable.

Any thread can read it without a lock, for as long as it likes. Values that are computed at their
first use take no lock either. :func:`functools.cached_property` does before Python 3.12: a child
that is forked while another thread holds it would wait forever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from types import MappingProxyType
from typing import TypeAlias

from werkzeug.utils import cached_property

from .decoding import decode, json_text, prepare
from .document import Document, Page, document_of
from .evaluation import Evaluation
from .flag import Flag
from .schema import FeatureState, FlagState

_FlagStates: TypeAlias = tuple[FlagState, ...]
prepare(_FlagStates)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The flags of an environment, how to evaluate an identity, its epoch, when it was fetched.

    :param flags: the environment's flags by feature name.
    :param epoch: when the environment last changed, in seconds since 1970; ``None`` if the answer
        did not say.
    :param fetched_at: when it was fetched, in seconds since 1970, by this machine's clock.
    :param environment_id: the client-side key, which names the environment's stream.
    :param document: the environment document; ``None`` in remote evaluation.
    :param evaluation: evaluates identities; ``None`` in remote evaluation.
    :param answer: in remote evaluation, the bytes of the answer of ``flags/``.
    :param server_date: the ``Date`` of the API's answer, in seconds since 1970; ``None`` if it had
        none, or if the snapshot comes from elsewhere.
    :param announced: in remote evaluation, the epoch of the last change that was announced before
        it was fetched. The flags may be newer than ``epoch``, whose header lags.
    """

    flags: Mapping[str, Flag]
    epoch: float | None
    fetched_at: float
    environment_id: str = field(repr=False)
    document: Document | None = field(default=None, repr=False)
    evaluation: Evaluation | None = field(default=None, repr=False)
    answer: bytes | None = field(default=None, repr=False)
    server_date: float | None = field(default=None, repr=False)
    announced: float | None = field(default=None, repr=False)

    @property
    def pages(self) -> tuple[bytes, ...]:
        """The bytes of Flagsmith's answer, as they came."""
        if self.document is not None:
            return self.document.pages
        return () if self.answer is None else (self.answer,)

    @cached_property
    def content_digest(self) -> str:
        """A digest that is equal for snapshots with the same content."""
        if self.document is not None:
            return self.document.digest
        return sha256(b"%r %s" % (self.announced, self.answer or b"")).hexdigest()

    @cached_property
    def targeting(self) -> frozenset[str]:
        """The names of the features that are not the same for all identities. Empty in remote
        evaluation, where Flagsmith does not say. Decodes all identity overrides."""
        if self.document is None or self.evaluation is None:
            return frozenset()
        overridden = self.document.overridden_features()
        return frozenset(self.flags.keys() - self.evaluation.untargeted.keys() | overridden)


def snapshot_of_pages(
    pages: Sequence[Page],
    epoch: float | None,
    fetched_at: float,
    held: Snapshot | None = None,
) -> Snapshot:
    """Makes a snapshot for local evaluation.

    :param held: an earlier snapshot. What is the same by bytes is taken from it, not decoded again.
    :raises InvalidDocumentError: naming the member of the document that is wrong.
    """
    document = document_of(pages, None if held is None else held.document)
    if held is not None and document is held.document:
        return replace(held, epoch=epoch, fetched_at=fetched_at, server_date=None)
    flags = _environment_flags(document.feature_states, {} if held is None else held.flags)
    return Snapshot(
        flags=flags,
        epoch=epoch,
        fetched_at=fetched_at,
        environment_id=document.environment_id,
        document=document,
        evaluation=Evaluation(document, flags),
    )


def snapshot_of_flags(
    body: bytes,
    epoch: float | None,
    fetched_at: float,
    environment_id: str,
    held: Snapshot | None = None,
) -> Snapshot:
    """Makes a snapshot for remote evaluation.

    :param body: an answer of ``flags/``.
    :param held: an earlier snapshot. An answer with the same bytes is not decoded again.
    :raises InvalidDocumentError: naming the member of the answer that is wrong.
    """
    body = json_text(body)
    if held is not None and held.answer == body:
        return replace(held, epoch=epoch, fetched_at=fetched_at, server_date=None, announced=None)
    states = decode(_FlagStates, body)
    return Snapshot(
        flags=MappingProxyType({state.feature.name: state.flag() for state in states}),
        epoch=epoch,
        fetched_at=fetched_at,
        environment_id=environment_id,
        answer=body,
    )


def _environment_flags(
    states: Iterable[FeatureState], held: Mapping[str, Flag]
) -> Mapping[str, Flag]:
    """Makes the environment's flags. Equal flags of the held snapshot are used again, so that a
    change of a large environment makes few objects for the garbage collector."""
    flags: dict[str, Flag] = {}
    for state in states:
        name, value = state.feature.name, state.feature_state_value
        flag = held.get(name)
        if (
            flag is None
            or flag.value != value
            or type(flag.value) is not type(value)
            or flag.enabled is not state.enabled
            or flag.feature_id != state.feature.id
        ):
            flag = Flag(name, state.enabled, value, state.feature.id, reason="STATIC")
        flags[name] = flag
    return MappingProxyType(flags)
