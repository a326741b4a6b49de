"""A member of a fleet: elects a leader through Redis, and runs the source that its role needs.

Which thread does what:

- The *fleet's* thread waits for messages, and at each heartbeat asks which process leads and which
  version of the flags is shared. It owns the election and the subscription, and it alone changes
  the source: a leader, or a process without Redis, has a :class:`.FlagsmithSource`; a follower has
  a :class:`.RedisSource`.
- The *source's* threads publish. A source is stopped before the next one starts, and the fleet's
  thread publishes only between the two.
- The *refresher's* thread of a leader calls :meth:`FleetMember.share` after each fetch.
- *Request* threads call :meth:`FleetMember.refresh` only.

Messages are for speed only. At each heartbeat a member compares the shared version with the one it
knows. If it has missed a message, it subscribes again; if Redis has lost the flags, the leader
stores them again. A forked child makes a new member, with a token of its own.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import traceback

from .. import logs
from ..client import jitter
from ..config import Config
from ..engine import FlagsmithSource, Publisher, RefreshHint, Source
from ..logs import BackgroundLogger, OncePerCause
from ..model import Snapshot
from ..monitoring import Activity
from .election import Election, FleetTimings, Role
from .follower import RedisSource
from .redis_store import RedisStore, Stored, StoreError, Subscription
from .shared import SharedFlags

logger = BackgroundLogger(logging.getLogger(__name__))

#: A leader whose writes fail so many times in a row, while heartbeats succeed, gives up the lead.
_MOST_FAILED_WRITES = 3
#: A follower whose reads fail so many times in a row continues alone.
_MOST_FAILED_READS = 3
#: After so many failed fetches in a row the leader offers the lead to another process.
_MOST_FAILED_FETCHES = 4


class _UnfitError(Exception):
    """This process cannot lead, since it cannot store flags; or it cannot follow, since it cannot
    use the shared ones."""


class FleetMember(Source):
    """A source for one process of a fleet.

    :param config: the app's settings, with a Redis and a key.
    """

    #: Of all members of a fleet.
    timings = FleetTimings()
    _thread_name = "flagsmith-fleet"

    def __init__(self, config: Config, activity: Activity) -> None:
        self._config = config
        self._activity = activity
        self._store = RedisStore(config, self.timings.expiry_seconds)
        self._shared = SharedFlags(self._store, activity)
        self._election = Election(self.timings)
        self._stopping = threading.Event()
        #: Held while the source is replaced, so that no hint gets lost between two sources.
        self._lock = threading.Lock()
        #: Until the first role is known: fetches if that takes too long.
        self._source: FlagsmithSource | RedisSource = self._new_source(
            delay=jitter(self.timings.first_role_seconds)
        )
        #: The source is being replaced: that it does not run is no fault.
        self._is_replacing = False
        self._role: Role | None = None
        self._failures = OncePerCause(
            logger,
            "fleet",
            f"The Redis at {self._store.redacted_url} can be used again: the fleet shares flags.",
        )
        #: The last note of a webhook. Each differs from the one before.
        self._note: str | None = None
        self._joined = False
        #: The time of the leader's last fetch.
        self._fetched_at: float | None = None
        #: This process leaves the lock, which it has just released, to others.
        self._yields = False
        #: This process has the lock, or may have it.
        self._holds_lock = False
        self._failed_fetches = 0

    @property
    def is_alive(self) -> bool:
        return super().is_alive and (self._is_replacing or self._source.is_alive)

    def start(self, publisher: Publisher) -> bool:
        if not self._source.start(publisher.successor(self)):
            return False
        if super().start(publisher):
            return True
        self._source.stop()
        return False

    def refresh(self, hint: RefreshHint) -> None:
        with self._lock:
            self._source.refresh(hint)

    def stop(self) -> RefreshHint | None:
        """Ends the work. If this process leads, another one can lead at once."""
        self._stopping.set()
        if self._thread is not None:
            self._publisher.close()
        with self._lock:
            hint = self._source.stop()
        self._store.interrupt()
        return hint

    def join(self) -> None:
        self._source.join()
        super().join()

    def share(self, snapshot: Snapshot, replaced: float | None) -> None:
        """Writes what a leader has fetched into Redis. In the refresher's thread."""
        self._failed_fetches = 0
        if self._role is Role.LEADER:
            self._shared.write(snapshot, replaced)

    def failed(self) -> None:
        """Lets another process lead, if there is one, where this one cannot fetch. In the
        refresher's thread."""
        if self._role is not Role.LEADER:
            return
        self._failed_fetches += 1
        if self._failed_fetches % _MOST_FAILED_FETCHES == 0:
            self._yields = True
            with contextlib.suppress(StoreError):
                self._store.release()

    def _new_source(self, delay: float = 0.0) -> FlagsmithSource:
        return FlagsmithSource(self._config, self._activity, delay)

    def _run(self) -> None:
        while not self._is_over():
            self._stopping.wait(self._attend())
        if not self._is_copy:
            self._release()
            self._store.close()

    def _is_over(self) -> bool:
        return self._stopping.is_set() or self._is_copy

    def _attend(self) -> float:
        """Takes part in the fleet for as long as Redis can be used.

        :returns: the delay before the next try, in seconds.
        """
        try:
            with self._store.subscribe() as subscription:
                self._follow(subscription)
            return 0.0
        except StoreError as error:
            return self._redis_failed(str(error))
        except _UnfitError as error:
            self._go_alone(str(error))
            return self._election.gave_up()
        except Exception:
            # The thread survives an unexpected error: without it no change would be seen.
            return self._redis_failed(f"unexpectedly: {traceback.format_exc()}")

    def _follow(self, subscription: Subscription) -> None:
        """Acts on messages and at heartbeats, until the subscription has missed a message."""
        if self._is_over():
            return
        next_beat, _ = self._beat()
        while True:
            message = subscription.wait(next_beat - time.monotonic())
            if self._is_over():
                return
            what, _, version = (message or "").partition(" ")
            if what == "stored":
                if version != self._shared.known:
                    self._look()
            elif what == "damaged":
                if self._holds_lock:
                    self._look()
            elif what == "free" and self._yields:
                self._yields = False
                next_beat = time.monotonic() + self._election.timings.beat_seconds
            elif what and (what != "note" or self._holds_lock):
                next_beat, _ = self._beat()
            elif time.monotonic() >= next_beat:
                next_beat, missed = self._beat()
                if missed:
                    return

    def _beat(self) -> tuple[float, bool]:
        """Asks which process leads and which version is shared.

        :returns: the time of the next heartbeat, and ``True`` if a version was found that no
            message announced.
        """
        if len(self._shared.failed_writes) >= _MOST_FAILED_WRITES:
            raise _UnfitError(self._shared.failed_writes[-1])
        # The lock may have been taken also where no answer comes.
        self._holds_lock = True
        beat = self._store.beat(self._activity.report)
        self._holds_lock = beat.leads
        if not beat.leads and len(self._shared.failed_reads) >= _MOST_FAILED_READS:
            raise _UnfitError(self._shared.failed_reads[-1])
        if beat.removed is not None:
            logger.warning(
                "In the Redis at %s, %s was not what a fleet keeps there. It is replaced.",
                self._store.redacted_url,
                beat.removed,
                extra=logs.fields("fleet_key_replaced"),
            )
        is_news = beat.version != self._shared.known
        role = Role.LEADER if beat.leads else Role.FOLLOWER
        if role is not self._role:
            # Read before anything is stopped: this may fail.
            stored = self._shared.read(None, None, replaces_damage=beat.leads)
            known = self._publisher.environment_id
            if stored is not None and known not in (None, stored.snapshot.environment_id):
                # Either may come from a cache that ignores the key. A process that leads already
                # has stored the right ones, and replaces them.
                raise StoreError("the flags in it are of another environment")
            delay = self._election.answered(beat.leads, beat.lock_seconds)
            self._change_role(role, stored)
        else:
            delay = self._election.answered(beat.leads, beat.lock_seconds)
            if is_news or (beat.leads and beat.version is None):
                self._look()
        if beat.leads and self._joined and beat.note is not None and beat.note != self._note:
            self.refresh(RefreshHint(beat.note_moment))
        self._note, self._joined = beat.note, True
        if not beat.leads:
            is_held = beat.version is not None and beat.version == self._shared.known
            if is_held and beat.fetched_at != self._fetched_at:
                # The same flags again are fresh, although there is nothing to read.
                self._activity.answered()
            self._activity.leader_reported(beat.report, beat.fetched_at if is_held else None)
        self._fetched_at = beat.fetched_at
        self._failures.recovered()
        return time.monotonic() + delay, is_news and beat.version is not None

    def _look(self) -> None:
        """Reads the shared flags: a follower in its source's thread, a leader in this one."""
        source = self._source
        if isinstance(source, RedisSource):
            source.look()
            return
        # As a whole: a follower may have found it damaged.
        known, leads = self._publisher.environment_id, self._holds_lock
        self._compare(self._shared.read(None, known, replaces_damage=leads), leads)

    def _compare(self, stored: Stored | None, leads: bool) -> None:
        """Compares the held flags with the shared ones, while the source goes on."""
        found = self._shared.reconcile(self._publisher.held, stored, leads=leads)
        if found is not None:
            # Another process believed that it leads. The source goes on from its epoch.
            self._replace_source(self._new_source(), stored)

    def _change_role(self, role: Role, stored: Stored | None = None) -> None:
        """Takes a role, and the source that goes with it.

        :param stored: the shared flags, where Redis can be used.
        """
        self._activity.take_role(None if role is Role.ALONE else role is Role.LEADER)
        before, self._role = self._role, role
        self._failed_fetches = 0
        if before is None:
            # The first flags waited for the role. Now there is time.
            self._store.use_normal_timeouts()
        if role is Role.FOLLOWER:
            interval = self._config.refresh_min_interval_seconds
            self._replace_source(RedisSource(self._store, self._shared, interval), stored)
        elif before in (None, Role.FOLLOWER):
            # A new source fetches at once: the leader before may have missed something at its end.
            self._replace_source(self._new_source(), stored)
        elif role is Role.LEADER:
            self._compare(stored, leads=True)
        logger.debug(
            "This process is %s in its fleet.",
            role.value,
            extra=logs.fields("fleet_role", role=role.value),
        )

    def _replace_source(self, new: FlagsmithSource | RedisSource, stored: Stored | None) -> None:
        """Stops the source and starts another, which goes on from the snapshot held, or from the
        shared one."""
        self._is_replacing = True
        with self._lock:
            old, self._source = self._source, new
            hint = old.stop()
        old.join()
        if hint is not None:
            new.refresh(hint)
        started = False
        try:
            if self._role is not Role.ALONE:
                # Not before: the old source may have published until it was stopped.
                leads = self._role is Role.LEADER
                found = self._shared.reconcile(self._publisher.held, stored, leads=leads)
                if found is not None:
                    # By its own publisher, which a stop closes.
                    self._publisher.publish(found, fetched=False)
            started = not self._stopping.is_set() and new.start(self._publisher.successor(self))
        finally:
            self._is_replacing = False
            if not started:
                # The process is not alive to its status; the next role tries again.
                self._role = None

    def _redis_failed(self, reason: str) -> float:
        if self._is_over():
            return 0.0
        delay = self._election.failed(time.monotonic())
        self._shared.failed_writes.clear()
        if self._election.role is not Role.ALONE:
            logger.debug(
                "Redis cannot be used for now: %s.", reason, extra=logs.fields("fleet_interrupted")
            )
            return delay
        self._go_alone(reason)
        return delay

    def _go_alone(self, reason: str) -> None:
        self._shared.forget()
        self._failures.problem(
            f"The Redis at {self._store.redacted_url} (FLAGSMITH_REDIS_URL) cannot be used: "
            f"{reason}. This process listens and fetches for itself until it can."
        )
        if self._role is not Role.ALONE:
            self._change_role(Role.ALONE)
        self._release()

    def _release(self) -> None:
        """Lets another process lead, if this one does. A process that is alone must not keep the
        lock: it stores nothing for the others. If this fails, the lock expires."""
        if self._holds_lock:
            self._holds_lock = False
            with contextlib.suppress(StoreError):
                self._store.release()
