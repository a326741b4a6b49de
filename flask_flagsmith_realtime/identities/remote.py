"""Remote evaluation of identities: what Flagsmith's API answers for them, kept for a while.

Asked when somebody reads a flag, in the request's own thread, so all here is about asking little
and never for long:

- An answer is kept for each identity with its traits, for ``FLAGSMITH_IDENTITY_TTL_SECONDS`` at
  most, for overrides of one identity are not announced; and no longer than the environment stays as
  it is, see :class:`_Generations`.
- One request is told one thing of an identity: it asks once at the most, whatever comes of it.
- Requests that ask for the same identity at the same time share one call.
- If the call fails, or takes longer than ``FLAGSMITH_REQUEST_TIMEOUT_SECONDS``, the last good
  answer for that identity serves, else the environment's flags. While the API fails, one request
  after a growing delay tries it, and all others do not wait (:class:`.circuit.CircuitBreaker`).

Memory: at most :data:`MOST_IDENTITIES` identities, the least recently used goes first; for each its
traits, and a reference to each of its flags, about 40 bytes a feature. The flags are shared.

Whatever belongs to one process - lock, calls under way, connections - is made anew in a forked
child. What was answered before the fork is kept.
"""

from __future__ import annotations

import functools
import logging
import math
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from concurrent import futures
from dataclasses import dataclass

from flask import Flask

from .. import logs, signals
from ..client import API
from ..config import Config
from ..exceptions import FetchError, IdentityRefusedError, IdentitySerializationError
from ..logs import OncePerCause, SafeLogger
from ..model import Flag, Identity, Snapshot
from .circuit_breaker import CircuitBreaker

logger = SafeLogger(logging.getLogger(__name__))

#: How many identities are kept.
MOST_IDENTITIES = 1024

_MOST_IN_A_REQUEST = 1024
_MOST_IDLE_CONNECTIONS = 16

_Flags = Mapping[str, Flag]


class RequestIdentities:
    """What one request is told of identities: of each one thing, whatever arrives meanwhile.

    :param remote: knows the identities.
    :param snapshot: the request's snapshot.
    """

    def __init__(self, remote: RemoteIdentities, snapshot: Snapshot) -> None:
        self._remote = remote
        self._snapshot = snapshot
        self._told: dict[Hashable, _Flags] = {}

    def flags_of(self, identity: Identity) -> _Flags:
        """All flags as they are for an identity."""
        key = identity.key
        told = self._told.get(key)
        if told is None:
            if len(self._told) >= _MOST_IN_A_REQUEST:
                # A command that goes through everybody.
                self._told.clear()
            told = self._told.setdefault(key, self._remote.flags_of(identity, key, self._snapshot))
        return told

    def segments_of(self, identity: Identity) -> tuple[str, ...]:
        """Nothing: Flagsmith's API does not tell segments."""
        return ()


class RemoteIdentities:
    """What Flagsmith says of identities, for one app.

    :param app: the sender of ``refresh_failed``.
    :param config: its settings.
    """

    def __init__(self, app: Flask, config: Config) -> None:
        self._app = app
        self._config = config
        #: Equal flags of different identities are one object. 1, 1.0 and True are not equal here.
        self._flag = functools.lru_cache(maxsize=10_000, typed=True)(Flag)
        self._episode = OncePerCause(
            logger, "identity_fetch", "Flagsmith's API answers for identities again."
        )
        #: Never over: that others are answered does not mean that who was refused would be.
        self._refusals = OncePerCause(logger, "identity_refused", "")
        #: The kinds of mistakes of ours that are in the log.
        self._crashes: set[type[Exception]] = set()
        self._generations = _Generations()
        self._answers: OrderedDict[Hashable, _Answer] = OrderedDict()
        self._processes: dict[int, _Process] = {}

    def flags_of(self, identity: Identity, key: Hashable, snapshot: Snapshot) -> _Flags:
        """All flags as they are for an identity.

        :param key: the identity's.
        :param snapshot: what the request knows of the environment; what serves if all else fails.
        """
        here = self._here()
        now = time.monotonic()
        with here.lock:
            generation = self._generations.of(snapshot)
            answer = self._answers.get(key)
            if answer is not None:
                self._answers.move_to_end(key)
                if answer.flags is not None and answer.is_fresh(generation, now, self._ttl):
                    return answer.flags
            last_good = snapshot.flags if answer is None else answer.flags or snapshot.flags
            # One that began under an older generation may bring an older answer.
            call = here.calls.get((key, generation))
            begins = call is None
            if call is None:
                if (answer is not None and now < answer.retry_at) or not here.circuit.enter(now):
                    return last_good
                call = here.calls[key, generation] = futures.Future()
        if begins:
            self._ask(here, identity, key, generation, call, last_good)
        try:
            return call.result(self._config.request_timeout_seconds)
        except futures.TimeoutError:
            return last_good

    @property
    def _ttl(self) -> float:
        return self._config.identity_ttl_seconds

    def _ask(
        self,
        here: _Process,
        identity: Identity,
        key: Hashable,
        generation: int,
        call: futures.Future[_Flags],
        last_good: _Flags,
    ) -> None:
        """Ask Flagsmith, and tell all who wait for it."""
        asked_at = time.monotonic()
        outcome: _Flags | None = None
        failure: FetchError | None = None
        try:
            outcome = self._fetch(here, identity)
        except FetchError as error:
            failure = error
        except Exception as error:
            self._say_once(error)
            name = type(error).__name__
            failure = FetchError(f"Asking for an identity failed unexpectedly ({name}).")
        finally:
            # Also where a server's timeout, no Exception, ends the request.
            with here.lock:
                del here.calls[key, generation]
                if outcome is not None:
                    here.circuit.worked()
                    self._keep(key, _Answer(outcome, generation, asked_at))
                elif isinstance(failure, IdentitySerializationError):
                    here.circuit.given_up()
                    self._refused(key)
                elif isinstance(failure, IdentityRefusedError):
                    here.circuit.worked()
                    self._refused(key)
                elif failure is not None:
                    here.circuit.failed(time.monotonic(), failure.retry_after)
                else:
                    here.circuit.given_up()
            call.set_result(last_good if outcome is None else outcome)
        if failure is None:
            self._episode.recovered()
        else:
            self._tell(failure)

    def _fetch(self, here: _Process, identity: Identity) -> _Flags:
        try:
            api = here.idle.pop()
        except IndexError:
            api = API(self._config)
        try:
            states = api.fetch_identity(identity)
        except BaseException:
            api.close()
            raise
        if len(here.idle) < _MOST_IDLE_CONNECTIONS:
            here.idle.append(api)
        else:
            api.close()
        return {state.feature.name: state.flag(self._flag) for state in states}

    def _keep(self, key: Hashable, answer: _Answer) -> None:
        kept = self._answers.get(key)
        if kept is None or kept.generation <= answer.generation:
            self._answers[key] = answer
            self._answers.move_to_end(key)
        while len(self._answers) > MOST_IDENTITIES:
            self._answers.popitem(last=False)

    def _refused(self, key: Hashable) -> None:
        """Flagsmith will refuse this identity again: leave it in peace for a while."""
        kept = self._answers.get(key, _Answer(None, 0, -math.inf))
        retry_at = time.monotonic() + self._ttl
        self._keep(key, _Answer(kept.flags, kept.generation, kept.asked_at, retry_at))

    def _say_once(self, error: Exception) -> None:
        """Log a mistake of ours with its traceback, unless one of its kind has been. The text of
        each may be another: it can name the identity."""
        if type(error) not in self._crashes:
            self._crashes.add(type(error))
            logger.exception(
                "Asking Flagsmith for an identity failed unexpectedly.",
                extra=logs.fields("identity_fetch_crashed"),
            )

    def _tell(self, error: FetchError) -> None:
        episode = self._refusals if isinstance(error, IdentityRefusedError) else self._episode
        episode.problem(
            f"{error} An identity's last good flags serve, or the environment's; it is tried again."
        )
        signals.send(signals.refresh_failed, self._app, error=error)

    def _here(self) -> _Process:
        """What belongs to this process."""
        pid = os.getpid()
        here = self._processes.get(pid)
        if here is None:
            here = self._processes.setdefault(pid, _Process())
            for other in list(self._processes):
                if other != pid:
                    self._processes.pop(other, None)
        return here


class _Process:
    """What must not outlive a fork."""

    def __init__(self) -> None:
        #: Guards everything but the calls themselves. Held for a few instructions.
        self.lock = threading.Lock()
        self.calls: dict[tuple[Hashable, int], futures.Future[_Flags]] = {}
        self.circuit = CircuitBreaker()
        self.idle: list[API] = []


@dataclass(frozen=True, slots=True)
class _Answer:
    """What Flagsmith answered for an identity.

    :param flags: the flags; ``None`` if it never gave any.
    :param generation: the generation under which it was asked.
    :param asked_at: when, by the monotonic clock.
    :param retry_at: before when it is not asked again.
    """

    flags: _Flags | None
    generation: int
    asked_at: float
    retry_at: float = -math.inf

    def is_fresh(self, generation: int, now: float, ttl: float) -> bool:
        """Whether it can serve as it is."""
        return self.generation == generation and now - self.asked_at < ttl


class _Generations:
    """Numbers the states that an environment goes through. A new state makes all answers stale.

    A state is new if its epoch is newer, and also if its flags differ: an answer's epoch is that of
    a header, which may lag behind the flags by a minute. Comparing the header with that of an
    identity's answer would not do: it comes old and new by turns, as calls meet one process of the
    server or another, while the flags in all of them are fresh. So an identity is asked for anew
    once when the flags change, and once when the epoch is seen to move; the first for what shows
    in the environment, the second for what does not, such as a segment. A mere refetch of the same
    state costs nothing.
    """

    def __init__(self) -> None:
        self._newest: Snapshot | None = None
        self._number = 0

    def of(self, snapshot: Snapshot) -> int:
        """The number of the state that a snapshot shows; the newest for one of a long request."""
        newest = self._newest
        if snapshot is newest or (newest is not None and _is_older(snapshot, newest)):
            return self._number
        if newest is not None and _is_new(snapshot, newest):
            self._number += 1
        self._newest = snapshot
        return self._number


def _is_older(snapshot: Snapshot, newest: Snapshot) -> bool:
    if snapshot.epoch is not None and newest.epoch is not None and snapshot.epoch != newest.epoch:
        return snapshot.epoch < newest.epoch
    return snapshot.fetched_at < newest.fetched_at


def _is_new(snapshot: Snapshot, newest: Snapshot) -> bool:
    return snapshot.epoch != newest.epoch or snapshot.flags != newest.flags
