"""A record of what an app context reads, kept while ``flag_evaluated`` has a receiver.

A context's :class:`Reads` belongs to the threads that share that context. It needs no lock: its
dicts are changed by single operations. Two threads that read the same flag for the first time at
the same moment may both send the signal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flask import Flask

from .. import signals
from ..model import MOST_IDENTITIES, Flag, FlagValue, Identity
from .flags import DEFAULT_OF_CALL, UNSET, Flags, Unset, WrappedFlags


class Reads:
    """The flags that one app context has read, and the receivers of ``flag_evaluated``.

    :param receivers: the receivers, found once in a context: blinker's ``send`` costs more than a
        read.
    """

    __slots__ = ("_by_identity", "app", "receivers")

    def __init__(self, app: Flask, receivers: Sequence[Callable[..., Any]]) -> None:
        self.app = app
        self.receivers = receivers
        self._by_identity: dict[Identity | None, _ReadFlags] = {}

    @property
    def flags(self) -> tuple[Flag, ...]:
        """The flags read so far."""
        # Copies: another thread that shares the context may read meanwhile.
        return tuple(
            flag for read in [*self._by_identity.values()] for flag in [*read.by_name.values()]
        )

    def of(self, flags: Flags) -> _ReadFlags:
        """Returns what was read of some flags, to be read from."""
        identity = flags._identity
        read = self._by_identity.get(identity)
        if read is None:
            if len(self._by_identity) >= MOST_IDENTITIES:
                # A command that goes through all users.
                self._by_identity.clear()
            read = _ReadFlags(self.app, self.receivers, identity, flags._flags.get)
            read = self._by_identity.setdefault(identity, read)
        return read


class _ReadFlags:
    """The flags that were read for one identity, and what a read needs.

    Attributes of :class:`Flags` are slow, because its ``__getattr__`` keeps the interpreter from
    specializing their access; those of this class are not.

    :param find: returns a flag of the snapshot, or ``None``.
    """

    __slots__ = ("_app", "_identity", "_receivers", "by_name", "find")

    def __init__(
        self,
        app: Flask,
        receivers: Sequence[Callable[..., Any]],
        identity: Identity | None,
        find: Callable[[str], Flag | None],
    ) -> None:
        self._app = app
        self._receivers = receivers
        self._identity = identity
        self.find = find
        self.by_name: dict[str, Flag] = {}

    def add(self, flag: Flag) -> None:
        """Sends ``flag_evaluated``. A receiver that raises is logged."""
        self.by_name[flag.feature_name] = flag
        for receiver in self._receivers:
            try:
                receiver(self._app, flag=flag, identity=self._identity)
            except BaseException as error:
                signals.log_failed_reader(receiver, error)


class RecordingFlags(WrappedFlags):
    """Flags that record which of them are read."""

    __slots__ = ("_below", "_read", "_reads")

    def __init__(self, flags: Flags, reads: Reads) -> None:
        self._below = flags
        self._reads = reads
        self._read = reads.of(flags)

    @property
    def read(self) -> tuple[Flag, ...]:
        return self._reads.flags

    def for_identity(self, *args: Any, **kwargs: Any) -> Flags:
        return RecordingFlags(self._below.for_identity(*args, **kwargs), self._reads)

    def is_feature_enabled(self, feature_name: str, default: bool | Unset = UNSET) -> bool:
        read = self._read
        flag = read.find(feature_name)
        if flag is None:
            flag = self._without(feature_name, default, default, None)
        if feature_name not in read.by_name:
            read.add(flag)
        return flag.enabled

    def get_feature_value(self, feature_name: str, default: FlagValue | Unset = UNSET) -> FlagValue:
        read = self._read
        flag = read.find(feature_name)
        if flag is None:
            flag = self._without(feature_name, default, default is not None, default)
        if feature_name not in read.by_name:
            read.add(flag)
        return flag.value

    def get_flag(self, feature_name: str) -> Flag:
        read = self._read
        flag = read.find(feature_name)
        if flag is None:
            flag = self._missing(feature_name)
        if feature_name not in read.by_name:
            read.add(flag)
        return flag

    def _without(self, feature_name: str, default: object, enabled: Any, value: Any) -> Flag:
        """Returns the flag of a missing feature: with the default of the call, if it has one."""
        if isinstance(default, Unset):
            return self._missing(feature_name)
        return Flag(feature_name, enabled, value, is_default=True, reason=DEFAULT_OF_CALL)
