"""Reading flags: what ``flags`` is in a view, a template or a command."""

from __future__ import annotations

import difflib
import keyword
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from .. import logs
from ..config import Config
from ..exceptions import FeatureNotFoundError
from ..model import Flag, FlagValue, Identity, Snapshot, TraitValue

logger = logging.getLogger(__name__)

#: RefreshHint of each read of a feature that neither Flagsmith nor FLAGSMITH_DEFAULTS has.
OnMissing = Callable[[str, "Snapshot | None"], None]


class Identities(Protocol):
    """Tells what flags are for identities, under one snapshot. Never fails."""

    def flags_of(self, identity: Identity) -> Mapping[str, Flag]:
        """All flags as they are for an identity."""

    def segments_of(self, identity: Identity) -> tuple[str, ...]:
        """The names of the segments that an identity is in, as far as that is known."""


class Unset:
    """The type of an argument that was not given."""


UNSET = Unset()


class Flags:
    """One consistent view of the flags: it never changes, whatever arrives meanwhile.

    Method names are the official SDK's. A read never fails because Flagsmith does. A feature that
    does not exist gives the call's default, else the one in ``FLAGSMITH_DEFAULTS``, else a disabled
    flag without a value; with ``FLAGSMITH_STRICT`` it raises instead of the latter.

    Besides the methods, ``flags["my-feature"]``, ``flags.my_feature`` (for templates),
    ``"my-feature" in flags``, iteration over the names and ``len(flags)`` work.

    :param snapshot: what is known of the environment; ``None`` if nothing is.
    :param defaults: flags for features that the snapshot does not have.
    :param on_missing: called for a feature that neither has; may raise.
    :param identities: evaluates identities under the snapshot; without it, all are given what the
        environment is.
    :param identity: for whom the flags are; ``None`` for the environment's.
    """

    __slots__ = ("_defaults", "_flags", "_identities", "_identity", "_on_missing", "_snapshot")

    def __init__(
        self,
        snapshot: Snapshot | None,
        defaults: Mapping[str, Flag],
        on_missing: OnMissing,
        identities: Identities | None = None,
        identity: Identity | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._defaults = defaults
        self._on_missing = on_missing
        self._identities = identities
        self._identity = identity
        self._flags: Mapping[str, Flag] = snapshot.flags if snapshot is not None else {}
        if identity is not None:
            self._flags = self._flags_of(identity)

    @property
    def epoch(self) -> float | None:
        """When the environment last changed, in seconds since 1970; ``None`` if not known."""
        return self._snapshot.epoch if self._snapshot is not None else None

    @property
    def segments(self) -> tuple[str, ...]:
        """The names of the segments that the identity is in.

        Empty for the environment's flags, and in remote evaluation, where Flagsmith does not tell.
        """
        if self._identities is None or self._identity is None:
            return ()
        return self._identities.segments_of(self._identity)

    def for_identity(
        self,
        identifier: str | Identity,
        traits: Mapping[str, TraitValue] | None = None,
        transient: bool = False,
    ) -> Flags:
        """The flags for somebody else, as of the same moment as these.

        :param identifier: what names them on Flagsmith; or an :class:`Identity`, which then is all
            that is given.
        :param traits: what is known of them.
        :param transient: in remote evaluation, whether Flagsmith is not to keep them.
        :raises TypeError: if there is no identity of these, see :class:`Identity`.
        :raises ValueError: likewise.
        """
        if isinstance(identifier, Identity):
            identity = identifier
        else:
            identity = Identity(identifier, {} if traits is None else traits, transient)
        return Flags(self._snapshot, self._defaults, self._on_missing, self._identities, identity)

    def _flags_of(self, identity: Identity) -> Mapping[str, Flag]:
        """What the flags for an identity read from."""
        return self._flags if self._identities is None else self._identities.flags_of(identity)

    def is_feature_enabled(self, feature_name: str, default: bool | Unset = UNSET) -> bool:
        """Whether a feature is on.

        :param feature_name: the feature's name on Flagsmith.
        :param default: what to answer if it does not exist. ``False`` unless given.
        :raises FeatureNotFoundError: if it does not exist and ``FLAGSMITH_STRICT`` is on.
        """
        flag = self._flags.get(feature_name)
        if flag is not None:
            return flag.enabled
        if not isinstance(default, Unset):
            return default
        return self._missing(feature_name).enabled

    def get_feature_value(self, feature_name: str, default: FlagValue | Unset = UNSET) -> FlagValue:
        """The value of a feature, whether it is on or off.

        :param feature_name: the feature's name on Flagsmith.
        :param default: what to answer if it does not exist. ``None`` unless given.
        :raises FeatureNotFoundError: if it does not exist and ``FLAGSMITH_STRICT`` is on.
        """
        flag = self._flags.get(feature_name)
        if flag is not None:
            return flag.value
        if not isinstance(default, Unset):
            return default
        return self._missing(feature_name).value

    def get_flag(self, feature_name: str) -> Flag:
        """A feature's :class:`Flag`.

        :param feature_name: the feature's name on Flagsmith.
        :raises FeatureNotFoundError: if it does not exist and ``FLAGSMITH_STRICT`` is on.
        """
        flag = self._flags.get(feature_name)
        return flag if flag is not None else self._missing(feature_name)

    def all_flags(self) -> list[Flag]:
        """All flags, those of ``FLAGSMITH_DEFAULTS`` that Flagsmith does not have included."""
        return list({**self._defaults, **self._flags}.values())

    def _missing(self, feature_name: str) -> Flag:
        default = self._defaults.get(feature_name)
        if default is not None:
            return default
        if not isinstance(feature_name, str):
            raise TypeError(f"A feature's name is {type(feature_name).__name__}; give it as text.")
        self._on_missing(feature_name, self._snapshot)
        return Flag(feature_name, is_default=True)

    def __getitem__(self, feature_name: str) -> Flag:
        return self.get_flag(feature_name)

    def __getattr__(self, name: str) -> Flag:
        # Names with an underscore in front are asked for by Python and Jinja themselves.
        if name.startswith("_"):
            raise AttributeError(name)
        return self.get_flag(name)

    def __contains__(self, feature_name: object) -> bool:
        return feature_name in self._flags or feature_name in self._defaults

    def __iter__(self) -> Iterator[str]:
        return iter({**self._defaults, **self._flags})

    def __len__(self) -> int:
        return len({**self._defaults, **self._flags})

    def __repr__(self) -> str:
        return f"<Flags of {len(self)} features, epoch {self.epoch}>"


class MissingFeatures:
    """What happens when a feature is read that nobody knows: named once in the log, or raised."""

    _MOST_NAMED = 1000
    _METHODS = ("is_feature_enabled", "get_feature_value", "get_flag", "all_flags", "for_identity")

    def __init__(self, config: Config, is_testing: Callable[[], bool]) -> None:
        self._strict = config.strict
        self._is_testing = is_testing
        self._named: set[str] = set()

    def __call__(self, feature_name: str, snapshot: Snapshot | None) -> None:
        """Complain about a feature.

        :raises FeatureNotFoundError: in strict mode, unless nothing is known because Flagsmith has
            not answered yet: a read never fails because Flagsmith does.
        """
        if self._strict and (snapshot is not None or self._is_testing()):
            raise FeatureNotFoundError(feature_name, self._message(feature_name, snapshot))
        is_news = feature_name not in self._named and len(self._named) < self._MOST_NAMED
        if snapshot is not None and is_news:
            self._named.add(feature_name)
            logger.warning(
                "%s It serves as disabled.",
                self._message(feature_name, snapshot),
                extra=logs.fields("feature_missing", feature=feature_name),
            )

    def _message(self, feature_name: str, snapshot: Snapshot | None) -> str:
        missing = f"The environment has no feature {feature_name!r}"
        known = list(snapshot.flags) if snapshot is not None else []
        if nearest := difflib.get_close_matches(feature_name, known, n=1, cutoff=0.6):
            return f"{missing}; did you mean {nearest[0]!r}?"
        # flags.is_enabled(…) reads a feature of that name, and then calls it.
        if nearest := difflib.get_close_matches(feature_name, self._METHODS, n=1, cutoff=0.7):
            return f"{missing}; did you mean flags.{nearest[0]}(…)?"
        if self._is_testing():
            given = f"{{{feature_name!r}: …}}"
            if feature_name.isidentifier() and not keyword.iskeyword(feature_name):
                given = f"{feature_name}=…"
            return (
                f"{missing}; under test, say what it is: flagsmith_flags.set({given}) or "
                f"override_flags(app, {given}); or give a default in the call or in "
                "FLAGSMITH_DEFAULTS."
            )
        way_out = "create it, or give a default in the call or in FLAGSMITH_DEFAULTS."
        if snapshot is not None and snapshot.document is not None:
            project = snapshot.document["project"].get("name")
            way_out += f" It is the environment {snapshot.document['name']!r}"
            way_out += f" in {project!r}." if project else "."
        return f"{missing}; {way_out}"


__all__ = ["UNSET", "Flags", "Identities", "MissingFeatures", "OnMissing", "Unset"]
