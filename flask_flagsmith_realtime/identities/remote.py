"""Flags of identities in remote evaluation: the API's answers, kept for a while.

The thread of the request that reads a flag makes the call, so calls are few and short:

- An answer is kept for each identity with its traits as long as it is fresh, see :mod:`.freshness`.
- One request reads one answer of an identity, and makes at most one call for it.
- Requests that need the same identity at the same time share one call (single flight).
- If the call fails, or takes longer than ``FLAGSMITH_REQUEST_TIMEOUT_SECONDS``, the last good
  answer for that identity serves, else the environment's flags. While the API fails, one request
  after a growing delay calls it, and the others do not wait (:class:`.CircuitBreaker`).

Memory: at most :data:`~..model.MOST_IDENTITIES` identities (LRU); for each its traits, and a
reference to each of its flags, about 40 bytes a feature. The flags are shared.

A forked child makes its own lock, calls and connections. It keeps the answers from before the fork.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from concurrent import futures

from flask import Flask
from msgspec.structs import replace

from .. import logs, signals
from ..client import API
from ..config import Config
from ..exceptions import FetchError, IdentityRefusedError
from ..logs import OncePerCause, SafeLogger
from ..model import MOST_IDENTITIES, Flag, Identity, Snapshot
from ..processes import PerProcess
from .circuit_breaker import CircuitBreaker
from .freshness import KeptAnswer, state_of

logger = SafeLogger(logging.getLogger(__name__))

#: How long an identity whose call failed leaves the next try to others, in seconds.
_RETRY_SECONDS = 1.0
_MOST_IDLE_CONNECTIONS = 16

_Flags = Mapping[str, Flag]


class RequestIdentities:
    """The identities of one request: each has one answer until its end."""

    def __init__(self, remote: RemoteIdentities, snapshot: Snapshot) -> None:
        remote.note(snapshot)
        self._remote = remote
        self._snapshot = snapshot
        self._read: dict[Hashable, _Flags] = {}

    def flags_of(self, identity: Identity) -> _Flags:
        """Returns all flags of an identity."""
        key = identity.key
        flags = self._read.get(key)
        if flags is None:
            if len(self._read) >= MOST_IDENTITIES:
                # A command that goes through all users.
                self._read.clear()
            flags = self._read.setdefault(key, self._remote.flags_of(identity, key, self._snapshot))
        return flags

    def segments_of(self, identity: Identity) -> tuple[str, ...]:
        """Returns nothing: the API does not answer with segments."""
        return ()


class RemoteIdentities:
    """The answers for the identities of one app.

    :param app: the sender of ``refresh_failed``.
    """

    def __init__(self, app: Flask, config: Config) -> None:
        self._app = app
        self._config = config
        #: Equal flags of different identities are one object. 1, 1.0 and True are not equal here.
        self._flag = functools.lru_cache(maxsize=10_000, typed=True)(Flag)
        self._failures = OncePerCause(
            logger, "identity_fetch", "Flagsmith's API answers for identities again."
        )
        #: It has no recovery: an answer for one identity says nothing about a refused one.
        self._refusals = OncePerCause(logger, "identity_refused", "")
        #: The types of the unexpected errors that are in the log.
        self._crashes: set[type[Exception]] = set()
        #: The newest snapshot that a request has begun with, and its state. Replaced as a whole:
        #: requests note and read it without a lock.
        self._noted: tuple[Snapshot | None, Hashable] = None, None
        self._answers: OrderedDict[Hashable, KeptAnswer] = OrderedDict()
        self._processes = PerProcess(_Process)

    def note(self, snapshot: Snapshot) -> None:
        """Notes the snapshot of a request that begins."""
        newest, _ = self._noted
        if snapshot is not newest:
            self._noted = snapshot, state_of(snapshot)

    def flags_of(self, identity: Identity, key: Hashable, snapshot: Snapshot) -> _Flags:
        """Returns all flags of an identity.

        :param snapshot: the request's. Its flags serve if all else fails.
        """
        here = self._processes.get()
        now = time.monotonic()
        with here.lock:
            _, state = self._noted
            answer = self._answers.get(key)
            if answer is not None:
                self._answers.move_to_end(key)
                ttl = self._config.identity_ttl_seconds
                if answer.flags is not None and answer.is_fresh(state, now, ttl):
                    return answer.flags
            last_good = snapshot.flags if answer is None else answer.flags or snapshot.flags
            # A call that began in an older state may bring an older answer.
            call = here.calls.get((key, state))
            begins = call is None
            if call is None:
                if (answer is not None and now < answer.retry_at) or not here.circuit.enter(now):
                    return last_good
                call = here.calls[key, state] = futures.Future()
        if begins:
            self._call(here, identity, key, state, call, last_good)
        try:
            return call.result(self._config.request_timeout_seconds)
        except futures.TimeoutError:
            return last_good

    def _call(
        self,
        here: _Process,
        identity: Identity,
        key: Hashable,
        state: Hashable,
        call: futures.Future[_Flags],
        last_good: _Flags,
    ) -> None:
        """Calls the API for all requests that wait for the same identity."""
        asked_at = time.monotonic()
        # The announcement to which the answer belongs, not one that comes meanwhile.
        newest, _ = self._noted
        announced = None if newest is None else newest.announced
        flags: _Flags | None = None
        failure: FetchError | None = None
        try:
            flags, epoch = self._fetch(here, identity)
        except FetchError as error:
            failure = error
        except Exception as error:
            self._log_crash(error)
            name = type(error).__name__
            failure = FetchError(f"Asking for an identity failed unexpectedly ({name}).")
        finally:
            # Also where a server's timeout, which is no Exception, ends the request.
            with here.lock:
                del here.calls[key, state]
                kept, now = self._answers.get(key, KeptAnswer()), time.monotonic()
                if flags is not None:
                    here.circuit.worked()
                    if kept.asked_at <= asked_at:
                        self._keep(key, kept.followed_by(flags, state, asked_at, announced, epoch))
                elif failure is None:
                    here.circuit.given_up()
                elif isinstance(failure, IdentityRefusedError):
                    here.circuit.worked()
                    # Flagsmith will refuse this identity again.
                    retry_at = now + self._config.identity_ttl_seconds
                    self._keep(key, replace(kept, retry_at=retry_at))
                else:
                    here.circuit.failed(now, failure.retry_after)
                    # The failure may be caused by this identity: another one tries next.
                    self._keep(key, replace(kept, retry_at=now + _RETRY_SECONDS))
            call.set_result(last_good if flags is None else flags)
        if failure is None:
            self._failures.recovered()
        else:
            self._report(failure)

    def _fetch(self, here: _Process, identity: Identity) -> tuple[_Flags, float | None]:
        try:
            api = here.idle.pop()
        except IndexError:
            api = API(self._config)
        try:
            states, epoch = api.fetch_identity(identity)
        except BaseException:
            api.close()
            raise
        if len(here.idle) < _MOST_IDLE_CONNECTIONS:
            here.idle.append(api)
        else:
            api.close()
        return {state.feature.name: state.flag(self._flag) for state in states}, epoch

    def _keep(self, key: Hashable, answer: KeptAnswer) -> None:
        self._answers[key] = answer
        self._answers.move_to_end(key)
        while len(self._answers) > MOST_IDENTITIES:
            self._answers.popitem(last=False)

    def _log_crash(self, error: Exception) -> None:
        # By type: the texts may all differ, since they can hold the identity.
        if type(error) not in self._crashes:
            self._crashes.add(type(error))
            logger.exception(
                "Asking Flagsmith for an identity failed unexpectedly.",
                extra=logs.fields("identity_fetch_crashed"),
            )

    def _report(self, error: FetchError) -> None:
        once = self._refusals if isinstance(error, IdentityRefusedError) else self._failures
        once.problem(
            f"{error} An identity's last good flags serve, or the environment's; it is tried again."
        )
        signals.send(signals.refresh_failed, self._app, error=error)


class _Process:
    """The parts that must not outlive a fork."""

    def __init__(self) -> None:
        #: Protects everything but the calls themselves. Held for a few instructions.
        self.lock = threading.Lock()
        self.calls: dict[tuple[Hashable, Hashable], futures.Future[_Flags]] = {}
        self.circuit = CircuitBreaker()
        self.idle: list[API] = []
