"""Local evaluation of identities: in this process, when a flag is read.

An identity is evaluated once for a snapshot: its flags are kept with the snapshot, each from its
first read on. Features that are the same for all identities are not evaluated, and not kept.

Reading takes no lock. Two threads may evaluate one flag at the same time, with the same result.

Memory: at most :data:`~..model.MOST_IDENTITIES` identities in an LRU cache; for each its traits,
and a reference to each targeted flag that was read, about 1.3 kB in all. The flags are shared.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Any, cast

from ..exceptions import InvalidDocumentError
from ..logs import OncePerCause
from ..model import MOST_IDENTITIES, Evaluation, Flag, Identity, Snapshot, TraitValue


class LocalIdentities:
    """The flags of identities under one snapshot.

    :param failures: logs what cannot be evaluated.
    """

    def __init__(self, snapshot: Snapshot, failures: OncePerCause) -> None:
        # The cache refers to the evaluation, not to this object: a cycle would keep each snapshot
        # alive until the garbage collector runs.
        evaluation = cast(Evaluation, snapshot.evaluation)
        self._known = lru_cache(MOST_IDENTITIES)(partial(IdentityFlags, evaluation, failures))

    def flags_of(self, identity: Identity) -> IdentityFlags:
        """Returns all flags for an identity."""
        # The same traits in another order are evaluated once more: less than sorting costs.
        identifier, _, _, traits = identity.parts
        return self._known(identifier, traits)

    def segments_of(self, identity: Identity) -> tuple[str, ...]:
        """Returns the names of the segments that an identity is in."""
        return self.flags_of(identity).segments


class IdentityFlags(Mapping[str, Flag]):
    """All flags for one identity, evaluated as they are read.

    :ivar own: its overrides, and the targeted flags that have been read.
    :ivar untargeted: the flags that all identities without an override for them share.
    """

    __slots__ = (
        "_evaluation",
        "_failures",
        "_identity",
        "_overrides",
        "_segments",
        "own",
        "untargeted",
    )

    def __init__(
        self,
        evaluation: Evaluation,
        failures: OncePerCause,
        identifier: str,
        traits: tuple[Hashable, ...],
    ) -> None:
        names, values = traits[::3], traits[2::3]
        self._identity = evaluation.identity(
            identifier, cast("dict[str, TraitValue]", dict(zip(names, values, strict=True)))
        )
        self._evaluation = evaluation
        self._failures = failures
        self._segments: tuple[str, ...] | None = None
        self.untargeted = evaluation.untargeted
        try:
            self._overrides = evaluation.evaluate_overrides(self._identity)
        except Exception as error:
            self._log_failure("the overrides", error)
            self._overrides = {}
        self.own = dict(self._overrides)

    def get(self, name: str, default: Any = None) -> Any:
        flag = self.own.get(name)
        if flag is None:
            flag = self.untargeted.get(name)
        if flag is None and name in self._evaluation.flags:
            flag = self._evaluate(name)
        return default if flag is None else flag

    def __getitem__(self, name: str) -> Flag:
        flag: Flag | None = self.get(name)
        if flag is None:
            raise KeyError(name)
        return flag

    def __contains__(self, name: object) -> bool:
        return name in self._evaluation.flags

    def __iter__(self) -> Iterator[str]:
        return iter(self._evaluation.flags)

    def __len__(self) -> int:
        return len(self._evaluation.flags)

    @property
    def segments(self) -> tuple[str, ...]:
        """The names of the segments that the identity is in."""
        if self._segments is None:
            try:
                self._segments = self._evaluation.evaluate_segments(self._identity, self._overrides)
            except Exception as error:
                self._log_failure("the segments", error)
                self._segments = ()
        return self._segments

    def _evaluate(self, name: str) -> Flag:
        """Evaluates a flag, and keeps it."""
        evaluation = self._evaluation
        try:
            if evaluation.depends_on_flags:
                flags = evaluation.evaluate_all(self._identity, self._overrides)
                for other, flag in flags.items():
                    if other not in self.untargeted:
                        self.own.setdefault(other, flag)
            else:
                self.own[name] = evaluation.evaluate_flag(name, self._identity)
        except Exception as error:
            # A read never fails because of a rule: a slow pattern, a division by zero.
            self._log_failure(f"the feature {name!r}", error)
        return self.own.setdefault(name, evaluation.flags[name])

    def _log_failure(self, subject: str, error: Exception) -> None:
        # An error's text may disclose a trait, and differ with each identity.
        reason = str(error) if isinstance(error, InvalidDocumentError) else type(error).__name__
        self._failures.problem(
            f"Flagsmith's flag engine cannot evaluate {subject} for an identity: {reason}. Do its "
            "rules fit all values of the traits that they ask for? The environment's flags serve."
        )
