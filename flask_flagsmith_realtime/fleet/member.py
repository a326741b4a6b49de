"""The fleet: many processes of one environment that share one stream and one fetch, through Redis.

Which thread does what:

- The *fleet's* thread waits for messages, and asks at each beat who leads and what lies in Redis.
  It reads what is new there, and puts flags and roles into the mailbox. It owns the election and
  the subscription.
- The *refresher's* thread calls :meth:`Fleet.store`, :meth:`Fleet.tell` and
  :meth:`Fleet.step_down`. It alone publishes and sends signals, here as elsewhere, and decides from
  the role whether to fetch.
- *Request* threads touch nothing of this.
- Whoever stops the engine calls :meth:`Fleet.stop`.

The first two both write down which version is known, each by one assignment: at worst, flags are
read once more than needed.

Messages only tell when to look. Who misses one finds out at the next beat, and subscribes anew. So
does the leader of a Redis that came back empty: it stores again. A forked child makes a new fleet;
it has another token, and is another process to the others.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import secrets
import threading
import time
import traceback

from .. import logs
from ..config import Config
from ..engine import Mailbox, RefreshHint, SharedSnapshot
from ..logs import OncePerCause
from ..model import Snapshot
from ..monitoring import Activity
from .election import Election, FleetTimings, Role
from .redis_store import Beat, DamagedError, RedisStore, StoreError, Subscription, new_version

logger = logging.getLogger(__name__)

#: A leader for whom storing fails so many times in a row, while beats succeed, is none.
_MOST_FAILED_STORES = 3


class _UnfitError(Exception):
    """This process cannot lead: it cannot store flags."""


class FleetMember:
    """This process as one of a fleet.

    :param config: the app's settings, with a Redis and a key.
    :param mailbox: where roles and flags go.
    :param activity: where to write down that flags are fresh.
    :param pace: the times.
    """

    def __init__(
        self, config: Config, mailbox: Mailbox, activity: Activity, pace: FleetTimings
    ) -> None:
        self._mailbox = mailbox
        self._activity = activity
        self._store = RedisStore(config, pace.expiry_seconds)
        self._election = Election(pace)
        self._stopping = threading.Event()
        self._process = os.getpid()
        self._episode = OncePerCause(
            logger,
            "fleet",
            f"The Redis at {self._store.redacted_url} can be used again: the fleet shares flags.",
        )
        #: The version of the flags that this process has read or written last.
        self._known: str | None = None
        #: The last note of a webhook; it differs from each one before.
        self._note: str | None = None
        self._joined = False
        #: When the leader fetched last, as it wrote that down.
        self._fetched_at: str | None = None
        #: Whether this process leaves the lock that it has just given back to others.
        self._yields = False
        #: The note of a webhook that is still to be passed on.
        self._untold: str | None = None
        #: Whether this process has the lock, or may have it.
        self._holds_lock = False
        #: Why flags could not be stored, of the tries since the last one that succeeded.
        self._failed_stores: list[str] = []

    def run(self) -> None:
        """Be one of the fleet until :meth:`stop` is called."""
        while not self._is_over():
            self._stopping.wait(self._attend())
        if self._process == os.getpid():
            self._release()
            self._store.close()

    def stop(self) -> None:
        """End the work. A leader lets another process lead at once."""
        self._stopping.set()
        self._store.interrupt()

    def store(self, snapshot: Snapshot, replaced: float | None = None) -> None:
        """Put flags into Redis for all, unless newer ones lie there. For the refresher's thread.

        :param replaced: the newer epoch that they replace on purpose, if they do.
        """
        version = new_version()
        # Known before the message comes: a process need not read what it wrote itself.
        self._known = version
        try:
            self._known = self._store.write(snapshot, version, replaced)
        except StoreError as error:
            # The next beat finds other flags than are known, and the refresher stores again.
            self._known = None
            self._failed_stores.append(str(error))
            logger.debug(
                "Flags could not be stored in Redis: %s.",
                error,
                extra=logs.fields("fleet_store_failed"),
            )
        else:
            self._failed_stores.clear()

    def tell(self, told: RefreshHint) -> None:
        """Pass on to the leader what a webhook said. For the refresher's thread."""
        self._untold = f"{secrets.token_hex(8)} {'' if told.moment is None else repr(told.moment)}"
        with contextlib.suppress(StoreError):
            self._pass_on()

    def step_down(self) -> None:
        """Let another process lead, if there is one: this one cannot reach Flagsmith. For the
        refresher's thread."""
        self._yields = True
        with contextlib.suppress(StoreError):
            self._store.release()

    def _is_over(self) -> bool:
        # Gevent's threads are copied into a forked child, where they are to do nothing.
        return self._stopping.is_set() or self._process != os.getpid()

    def _attend(self) -> float:
        """Listen to the others for as long as Redis can be used.

        :returns: in how many seconds to try again.
        """
        try:
            with self._store.subscribe() as subscription:
                self._follow(subscription)
            return 0.0
        except StoreError as error:
            return self._failed(str(error))
        except _UnfitError as error:
            return self._give_up(str(error))
        except Exception:
            # The thread must outlive a mistake of ours: without it no change would be seen.
            return self._failed(f"unexpectedly: {traceback.format_exc()}")

    def _follow(self, subscription: Subscription) -> None:
        """Do what messages and beats ask for, until the subscription turns out to be deaf."""
        next_beat, _ = self._beat()
        while True:
            message = subscription.wait(next_beat - time.monotonic())
            if self._is_over():
                return
            what, _, version = (message or "").partition(" ")
            if what == "stored":
                if version != self._known:
                    self._read()
            elif what == "damaged":
                if self._holds_lock:
                    self._read()
            elif what == "free" and self._yields:
                self._yields = False
                next_beat = time.monotonic() + self._election.pace.beat_seconds
            elif what and (what != "told" or self._holds_lock):
                next_beat, _ = self._beat()
            elif time.monotonic() >= next_beat:
                next_beat, missed = self._beat()
                if missed:
                    return

    def _beat(self) -> tuple[float, bool]:
        """Ask who leads and what lies in Redis.

        :returns: when to ask again, and whether flags were found that no message told of.
        """
        if len(self._failed_stores) >= _MOST_FAILED_STORES:
            raise _UnfitError(self._failed_stores[-1])
        # It may have been taken also where no answer comes.
        self._holds_lock = True
        beat = self._store.beat(self._activity.report)
        self._holds_lock = beat.leads
        news = beat.version != self._known
        if news or (beat.leads and beat.version is None):
            self._read()
        if beat.leads and self._joined and beat.told is not None and beat.told != self._note:
            self._mailbox.tell(RefreshHint(_moment(beat.told)))
        self._note, self._joined = beat.told, True
        if not beat.leads:
            self._hear(beat)
        self._fetched_at = beat.fetched_at
        self._episode.recovered()
        before = self._election.role
        delay = self._election.answered(beat.leads, beat.lock_seconds)
        self._assign(before)
        self._pass_on()
        return time.monotonic() + delay, news and beat.version is not None

    def _hear(self, beat: Beat) -> None:
        """The leader may have fetched the same flags again: they are fresh, although nothing is to
        be read."""
        if beat.fetched_at != self._fetched_at:
            self._activity.answered()
        held = beat.version is not None and beat.version == self._known
        self._activity.heard(beat.report, _seconds(beat.fetched_at) if held else None)

    def _read(self) -> None:
        """Read what lies in Redis. What is damaged, the leader alone removes and replaces: one
        whose package is too old to read it shall not."""
        try:
            stored = self._store.read()
        except DamagedError as error:
            if not self._holds_lock:
                self._store.report_corruption()
                raise
            self._store.discard(error.version)
            stored = None
            logger.warning(
                "In the Redis at %s, %s. This process leads, and replaces it.",
                self._store.redacted_url,
                error,
                extra=logs.fields("fleet_flags_replaced"),
            )
        self._known = None if stored is None else stored.version
        if stored is None:
            self._mailbox.deliver(SharedSnapshot(None))
        else:
            self._mailbox.deliver(SharedSnapshot(stored.snapshot, stored.replaced))

    def _pass_on(self) -> None:
        """Tell what is still to be told. If that fails, it is for the next beat."""
        note = self._untold
        if note is not None:
            self._store.tell(note)
            self._untold = None

    def _failed(self, reason: str) -> float:
        if self._is_over():
            return 0.0
        before = self._election.role
        delay = self._election.failed(time.monotonic())
        self._failed_stores.clear()
        if self._election.role is Role.ALONE:
            self._go_alone(reason)
        else:
            logger.debug(
                "Redis cannot be used for now: %s.", reason, extra=logs.fields("fleet_interrupted")
            )
        self._assign(before)
        if self._election.role is Role.ALONE:
            self._release()
        return delay

    def _give_up(self, reason: str) -> float:
        before = self._election.role
        delay = self._election.gave_up()
        self._failed_stores.clear()
        self._go_alone(reason)
        self._assign(before)
        self._release()
        return delay

    def _release(self) -> None:
        """Let another process lead, if this one does. Who goes alone must not keep the lock: it
        stores nothing, and all others would wait for it. If that fails, the lock expires."""
        if self._holds_lock:
            self._holds_lock = False
            with contextlib.suppress(StoreError):
                self._store.release()

    def _go_alone(self, reason: str) -> None:
        # When it joins again, it has to compare what it holds with what lies there. A webhook's
        # change it fetches for itself.
        self._known = self._untold = None
        self._episode.problem(
            f"The Redis at {self._store.redacted_url} (FLAGSMITH_REDIS_URL) cannot be used: "
            f"{reason}. This process listens and fetches for itself until it can."
        )

    def _assign(self, before: Role | None) -> None:
        role = self._election.role
        if before is None:
            # The first flags waited for the role. Now there is time.
            self._store.use_normal_timeouts()
        if role is not None and role is not before:
            logger.debug(
                "This process is %s in its fleet.",
                role.value,
                extra=logs.fields("fleet_role", role=role.value),
            )
            self._mailbox.assign(role)


def _moment(note: str) -> float | None:
    """The moment in a webhook's note."""
    return _seconds(note.partition(" ")[2])


def _seconds(text: str | None) -> float | None:
    """A number as it lies in Redis. Anything else in its place is none."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
