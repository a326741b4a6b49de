"""``Flags``: one consistent view of the flags, for the environment or for one identity."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias

from ..logs import OncePerCause, SafeLogger
from ..model import Flag, FlagValue, Identity, Snapshot, Traits, parse_value
from .browser import BrowserFlags
from .missing import OnMissing


class Identities(Protocol):
    """Evaluates identities under one snapshot. Never raises."""

    def flags_of(self, identity: Identity) -> Mapping[str, Flag]:
        """Returns all flags of an identity."""

    def segments_of(self, identity: Identity) -> tuple[str, ...]:
        """Returns the names of the segments that an identity is in, as far as they are known."""


logger = SafeLogger(logging.getLogger(__name__))

_not_json = OncePerCause(logger, "value_not_json", "")

#: The reasons of flags that do not come from Flagsmith, see :attr:`.Flag.reason`.
DEFAULT_OF_CALL = "DEFAULT_OF_CALL"
MISSING = "MISSING"


class Unset:
    """The type of an argument that was not given."""


UNSET = Unset()

#: Called with a flag of an experiment that is shown, and its identity. Never raises.
OnExposure: TypeAlias = Callable[[Flag, "Identity | None"], None]


class Flags:
    """One consistent view of the flags. It never changes, whatever arrives meanwhile.

    The method names are those of the official SDK. A read never fails because Flagsmith does. A
    missing feature reads as the call's default, else as the one in ``FLAGSMITH_DEFAULTS``, else as
    a disabled flag without a value; with ``FLAGSMITH_STRICT`` it raises instead of the latter.

    Besides the methods, ``flags["my-feature"]``, ``flags.my_feature`` (for templates),
    ``"my-feature" in flags``, iteration over the names and ``len(flags)`` work.

    :param snapshot: the snapshot to read from; ``None`` before the first answer.
    :param defaults: flags for features that the snapshot does not have.
    :param on_missing: called for a feature that neither has; may raise.
    :param identities: evaluates identities under the snapshot. Without it every identity reads the
        environment's flags.
    :param identity: the identity whose flags these are; ``None`` for the environment's.
    :param on_exposure: called when a flag of an experiment is shown.
    """

    __slots__ = (
        "_defaults",
        "_flags",
        "_identities",
        "_identity",
        "_on_exposure",
        "_on_missing",
        "_snapshot",
    )

    def __init__(
        self,
        snapshot: Snapshot | None,
        defaults: Mapping[str, Flag],
        on_missing: OnMissing,
        identities: Identities | None = None,
        identity: Identity | None = None,
        on_exposure: OnExposure | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._defaults = defaults
        self._on_missing = on_missing
        self._identities = identities
        self._identity = identity
        self._on_exposure = on_exposure
        self._flags: Mapping[str, Flag] = snapshot.flags if snapshot is not None else {}
        if identity is not None and identities is not None:
            self._flags = identities.flags_of(identity)

    @property
    def epoch(self) -> float | None:
        """The time of the environment's last change, in seconds since 1970; ``None`` if unknown."""
        return self._snapshot.epoch if self._snapshot is not None else None

    @property
    def read(self) -> tuple[Flag, ...]:
        """The flags that this app context has read so far, for the environment and for identities.

        Empty unless :data:`~flask_flagsmith_realtime.flag_evaluated` has a receiver: without one,
        reads are not recorded.
        """
        return ()

    @property
    def identity(self) -> Identity | None:
        """The :class:`Identity` whose flags these are; ``None`` for the environment's."""
        return self._identity

    @property
    def segments(self) -> tuple[str, ...]:
        """The names of the segments that the identity is in.

        Empty for the environment's flags, and in remote evaluation, where the API does not return
        segments.
        """
        if self._identities is None or self._identity is None:
            return ()
        return self._identities.segments_of(self._identity)

    def for_identity(
        self,
        identifier: str | Identity,
        traits: Traits | None = None,
        transient: bool = False,
    ) -> Flags:
        """Returns the flags of another identity under the same snapshot.

        :param identifier: the identity's identifier on Flagsmith; or an :class:`Identity`, and then
            no other argument.
        :param traits: the identity's traits.
        :param transient: in remote evaluation, whether Flagsmith does not store the identity.
        :raises TypeError: if an argument has a wrong type, see :class:`Identity`.
        :raises ValueError: if an argument has a wrong value, see :class:`Identity`.
        """
        if isinstance(identifier, Identity):
            identity = identifier
        else:
            identity = Identity(identifier, {} if traits is None else traits, transient)
        return Flags(
            self._snapshot,
            self._defaults,
            self._on_missing,
            self._identities,
            identity,
            self._on_exposure,
        )

    def is_feature_enabled(self, feature_name: str, default: bool | Unset = UNSET) -> bool:
        """Returns ``True`` if a feature is on.

        :param feature_name: the feature's name on Flagsmith.
        :param default: the result for a missing feature. ``False`` unless given.
        :raises FeatureNotFoundError: if it is missing and ``FLAGSMITH_STRICT`` is on.
        """
        flag = self._flags.get(feature_name)
        if flag is not None:
            return flag.enabled
        if not isinstance(default, Unset):
            return default
        return self._missing(feature_name).enabled

    def get_feature_value(self, feature_name: str, default: FlagValue | Unset = UNSET) -> FlagValue:
        """Returns the value of a feature, be it on or off.

        :param feature_name: the feature's name on Flagsmith.
        :param default: the result for a missing feature. ``None`` unless given.
        :raises FeatureNotFoundError: if it is missing and ``FLAGSMITH_STRICT`` is on.
        """
        flag = self._flags.get(feature_name)
        if flag is not None:
            return flag.value
        if not isinstance(default, Unset):
            return default
        return self._missing(feature_name).value

    def get_json_value(self, feature_name: str, default: Any = UNSET) -> Any:
        """Returns the value of a feature parsed as JSON, be it on or off.

        Each text is parsed once, so callers share what is returned: it must not be changed.

        :param feature_name: the feature's name on Flagsmith.
        :param default: the result for a feature that is missing or has no value, and for a value
            that is not JSON, which is logged. ``None`` unless given.
        :raises ValueError: naming the feature, if its value is not JSON and no default is given.
        :raises FeatureNotFoundError: if it is missing and ``FLAGSMITH_STRICT`` is on.
        """
        if isinstance(default, Unset):
            return self.get_flag(feature_name).json()
        value = self.get_feature_value(feature_name, None)
        if value is None:
            return default
        try:
            return parse_value(feature_name, value)
        except ValueError as error:
            _not_json.problem(f"{error} The default of the call serves.")
            return default

    def get_flag(self, feature_name: str) -> Flag:
        """Returns a feature's :class:`Flag`.

        :param feature_name: the feature's name on Flagsmith.
        :raises FeatureNotFoundError: if it is missing and ``FLAGSMITH_STRICT`` is on.
        """
        flag = self._flags.get(feature_name)
        return flag if flag is not None else self._missing(feature_name)

    def get_experiment_flag(self, feature_name: str) -> Flag:
        """Returns a feature's :class:`Flag`, and reports to Flagsmith that its variant is shown.

        That is an exposure, which needs :confval:`FLAGSMITH_ENABLE_EVENTS`, an identity that takes
        part in a running experiment, and a flag that is on. Otherwise the same as
        :meth:`get_flag`.

        :param feature_name: the feature's name on Flagsmith.
        :raises FeatureNotFoundError: if it is missing and ``FLAGSMITH_STRICT`` is on.
        """
        flag = self.get_flag(feature_name)
        if self._on_exposure is not None:
            self._on_exposure(flag, self._identity)
        return flag

    def all_flags(self) -> list[Flag]:
        """Returns all flags, including those of ``FLAGSMITH_DEFAULTS`` that Flagsmith lacks."""
        return list({**self._defaults, **self._flags}.values())

    def for_browser(self, *feature_names: str, traits: bool = False) -> dict[str, Any]:
        """Returns the options for ``flagsmith.init`` of Flagsmith's JavaScript SDK, as plain JSON.

        They hold the flags, so the SDK starts without a request. Features for server-side keys
        only, and disabled ones where the environment hides these, are left out; so are those of
        ``FLAGSMITH_DEFAULTS``, unless they are named. No server-side key is in it. ``api`` and
        ``eventSourceUrl`` lead to the blueprint ``flagsmith.browser`` if that is registered.

        :param feature_names: the features; all that may be in a browser unless given.
        :param traits: include the identity's traits.
        :raises HiddenFeatureError: if a named feature must not go to a browser.
        :raises FeatureNotFoundError: if one is missing and ``FLAGSMITH_STRICT`` is on.
        """
        flags = flags_for_browser(self)
        if feature_names:
            # No reads of the app: the browser reports what it reads.
            named = {name: flags.mapping.get(name) for name in feature_names}
            found = {
                name: self._missing(name) if flag is None else flag for name, flag in named.items()
            }
            flags = BrowserFlags(found, flags.identity, flags.snapshot)
            flags.check_visible()
        return flags.sdk_options(traits=traits)

    def _missing(self, feature_name: str) -> Flag:
        default = self._defaults.get(feature_name)
        if default is not None:
            return default
        if not isinstance(feature_name, str):
            raise TypeError(f"A feature's name must be a str, not {type(feature_name).__name__}.")
        self._on_missing(feature_name, self._snapshot, self)
        return Flag(feature_name, is_default=True, reason=MISSING)

    def __getitem__(self, feature_name: str) -> Flag:
        return self.get_flag(feature_name)

    def __getattr__(self, name: str) -> Flag:
        # Python and Jinja themselves look up names that begin with an underscore.
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


class WrappedFlags(Flags):
    """Flags whose members are those of other flags, at ``_below``, but for those that a subclass
    has itself."""

    __slots__ = ()

    _below: Flags

    @property
    def _snapshot(self) -> Snapshot | None:  # type: ignore[override]
        return self._below._snapshot

    @property
    def _flags(self) -> Mapping[str, Flag]:  # type: ignore[override]
        return self._below._flags

    @property
    def _defaults(self) -> Mapping[str, Flag]:  # type: ignore[override]
        return self._below._defaults

    @property
    def _on_missing(self) -> OnMissing:  # type: ignore[override]
        return self._below._on_missing

    @property
    def _identities(self) -> Identities | None:  # type: ignore[override]
        return self._below._identities

    @property
    def _identity(self) -> Identity | None:  # type: ignore[override]
        return self._below._identity

    @property
    def _on_exposure(self) -> OnExposure | None:  # type: ignore[override]
        return self._below._on_exposure


def flags_for_browser(flags: Flags) -> BrowserFlags:
    """Returns flags in the form that decides which of them a browser may have."""
    return BrowserFlags(flags._flags, flags._identity, flags._snapshot)
