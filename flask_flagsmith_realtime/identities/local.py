"""Local evaluation of identities: by the official SDK, in this process, when a flag is read.

What an identity is given is kept with its snapshot: an identity is evaluated once for a snapshot,
and a newer snapshot knows nobody yet. Flags are evaluated one by one, as they are read. A feature
that no segment, no override and no percentage split touches is never evaluated: it is for everybody
what it is for the environment, and nothing of it is kept.

Reading takes no lock. Two threads may evaluate one flag at the same time, to the same end.

Memory: at most :data:`MOST_IDENTITIES` identities, the least recently used goes first; for each its
traits, and a reference to each targeted flag that was read, about 1.3 kB in all. The flags
themselves are shared.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Any, TypeVar, cast

from flagsmith import Flagsmith
from werkzeug.utils import cached_property

from ..logs import OncePerCause
from ..model import Flag, Identity, Snapshot, TraitValue, evaluator_of
from .flag_pool import FlagPool

#: How many identities are kept for one snapshot.
MOST_IDENTITIES = 1024

#: What a condition can ask for by JSONPath and find the same whichever features are looked at.
_PATHS_WITHOUT_FEATURES = ("$.identity.", "$.environment.")

_Default = TypeVar("_Default")


class LocalIdentities:
    """What flags are for identities, under one snapshot.

    :param snapshot: a snapshot for local evaluation.
    :param episode: told what cannot be evaluated.
    """

    def __init__(self, snapshot: Snapshot, episode: OncePerCause) -> None:
        # What is kept refers to the rules, not to this object: a circle would keep each snapshot
        # alive until Python looks for circles.
        rules = _Rules(snapshot, episode)
        self._known = lru_cache(MOST_IDENTITIES)(partial(IdentityFlags, rules))

    def flags_of(self, identity: Identity) -> Mapping[str, Flag]:
        """All flags as they are for an identity."""
        # In another order, the same traits are evaluated once more: less than sorting costs.
        identifier, _, _, traits = identity.parts
        return self._known(identifier, traits)

    def segments_of(self, identity: Identity) -> tuple[str, ...]:
        """The names of the segments that an identity is in."""
        identifier, _, _, traits = identity.parts
        return self._known(identifier, traits).segments


class _Rules:
    """What a snapshot says of all identities."""

    def __init__(self, snapshot: Snapshot, episode: OncePerCause) -> None:
        self.environment = snapshot.flags
        self.evaluator = cast(Flagsmith, snapshot.evaluator)
        targeted = snapshot.targeting.keys()
        #: The flags that are the same for everybody.
        self.untargeted = {
            name: flag for name, flag in snapshot.flags.items() if name not in targeted
        }
        self.pool = FlagPool()
        self.episode = episode
        self._document = cast("Mapping[str, Any]", snapshot.document)

    @cached_property
    def look_at_features(self) -> bool:
        """Whether a condition may ask what another feature is.

        The SDK then gives one answer if asked for all flags, and another if asked for one.
        """
        segments = self._document["project"]["segments"]
        return any(_looks_at_features(path) for rule in segments for path in _paths(rule["rules"]))

    @cached_property
    def segments_evaluator(self) -> Flagsmith:
        """An evaluator for segments alone: the number of features has no part in its cost."""
        if self.look_at_features:
            return self.evaluator
        return evaluator_of({**self._document, "feature_states": [], "identity_overrides": []})


class IdentityFlags(Mapping[str, Flag]):
    """All flags as they are for one identity, evaluated as they are read.

    :ivar own: the targeted flags that have been read.
    :ivar untargeted: the flags that are the same for everybody.
    """

    __slots__ = (
        "_evaluated",
        "_identifier",
        "_rules",
        "_segments",
        "_traits_key",
        "own",
        "untargeted",
    )

    def __init__(self, rules: _Rules, identifier: str, traits: tuple[Hashable, ...]) -> None:
        self.own: dict[str, Flag] = {}
        self.untargeted = rules.untargeted
        self._rules = rules
        self._identifier = identifier
        self._traits_key = traits
        self._evaluated: Any = None
        self._segments: tuple[str, ...] | None = None

    def get(self, name: str, default: _Default = None) -> Flag | _Default:  # type: ignore[assignment]
        flag = self.own.get(name)
        if flag is None:
            flag = self.untargeted.get(name)
        if flag is None and name in self._rules.environment:
            flag = self._evaluate(name)
        return default if flag is None else flag

    def __getitem__(self, name: str) -> Flag:
        flag = self.get(name)
        if flag is None:
            raise KeyError(name)
        return flag

    def __contains__(self, name: object) -> bool:
        return name in self._rules.environment

    def __iter__(self) -> Iterator[str]:
        return iter(self._rules.environment)

    def __len__(self) -> int:
        return len(self._rules.environment)

    @property
    def segments(self) -> tuple[str, ...]:
        """The names of the segments that the identity is in."""
        if self._segments is None:
            evaluator = self._rules.segments_evaluator
            try:
                found = evaluator.get_identity_segments(self._identifier, self._traits)
                self._segments = tuple(segment.name for segment in found)
            except Exception as error:
                self._cannot_evaluate("its segments", error)
                self._segments = ()
        return self._segments

    @property
    def _traits(self) -> dict[str, TraitValue]:
        names, values = self._traits_key[::3], self._traits_key[2::3]
        return cast("dict[str, TraitValue]", dict(zip(names, values, strict=True)))

    def _evaluate(self, name: str) -> Flag:
        """Evaluate a flag, and remember it."""
        try:
            if self._rules.look_at_features:
                self._evaluate_all()
            else:
                self._evaluate_one(name)
        except Exception as error:
            # A read never fails because Flagsmith's rules do: a bad pattern, a division by zero.
            self._cannot_evaluate(f"the feature {name!r}", error)
        return self.own.setdefault(name, self._rules.environment[name])

    def _evaluate_one(self, name: str) -> None:
        if self._evaluated is None:
            self._evaluated = self._rules.evaluator.get_identity_flags(
                self._identifier, self._traits
            )
        self.own[name] = self._rules.pool.of(self._evaluated.get_flag(name))
        # The SDK remembers it as well.
        self._evaluated.flags.pop(name, None)

    def _evaluate_all(self) -> None:
        evaluated = self._rules.evaluator.get_identity_flags(self._identifier, self._traits)
        for flag in evaluated.all_flags():
            if flag.feature_name not in self.untargeted:
                self.own.setdefault(flag.feature_name, self._rules.pool.of(flag))

    def _cannot_evaluate(self, what: str, error: Exception) -> None:
        # Without the error's text, which may tell a trait, and differ with each identity.
        self._rules.episode.problem(
            f"The Flagsmith SDK cannot evaluate {what} for an identity: {type(error).__name__}. Do "
            "its rules fit all values of the traits that they ask for? The environment's serves."
        )


def _paths(rules: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The properties that rules ask for, those of nested rules included."""
    for rule in rules:
        for condition in rule.get("conditions") or ():
            yield condition.get("property_") or ""
        yield from _paths(rule.get("rules") or ())


def _looks_at_features(path: str) -> bool:
    if not path.startswith("$."):
        return False
    return not path.startswith(_PATHS_WITHOUT_FEATURES) or "$" in path[1:]
