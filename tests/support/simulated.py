"""A simulated Flagsmith, a simulated clock, and the real schedule. No threads, no waiting.

:class:`World` plays the refresher's part towards the real :class:`Schedule` and the real
:class:`Mailbox`. It counts fetches, and checks with each step what the schedule promises.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from flask_flagsmith_realtime.engine.mailbox import Mailbox
from flask_flagsmith_realtime.engine.schedule import OLDER_TAKEN_AFTER_SECONDS, Schedule, Verdict

#: The epoch at which the simulated clock shows 0.
START = 1_795_000_000.0
#: The clock's own rounding.
TINY = 1e-6


@dataclass
class Flagsmith:
    """Two replicas of an API, which serve a change sooner or later.

    :param kind: ``document``: a replica that lags answers old flags, with their epoch; ``header``:
        its flags are new, only the epoch in its header lags; ``epochless``: it sends no epoch.
    """

    kind: str
    truth: float = START - 100
    replicas: list[float] = field(default_factory=lambda: [START - 100, START - 100])
    #: The duration of a call.
    seconds: float = 0.0
    failing: bool = False
    retry_after: float | None = None
    #: The replicas that answer the calls, by turns.
    turns: tuple[int, ...] = (0, 1)
    calls: int = 0

    def change(self, now: float) -> None:
        self.truth = max(self.truth + 0.001, START + now)

    def catch_up(self) -> None:
        self.replicas = [self.truth, self.truth]

    def answer(self) -> tuple[float | None, float]:
        """Return the answer to a call: its epoch, and the state that its flags show."""
        self.calls += 1
        replica = self.replicas[self.turns[self.calls % len(self.turns)]]
        if self.kind == "epochless":
            return None, self.truth
        return replica, self.truth if self.kind == "header" else replica


@dataclass
class Counts:
    """The events that may cause fetches, and the results of those fetches."""

    announced: set[float] = field(default_factory=set)
    unnumbered: int = 0
    whole_seconds: int = 0
    connections: int = 0
    answers: int = 0
    failures: int = 0
    runs_of_older: int = 0
    runs_of_failures: int = 0


class World:
    """A refresher in miniature.

    :param schedule: the schedule under test.
    :param flagsmith: the Flagsmith that it follows.
    """

    def __init__(self, schedule: Schedule, flagsmith: Flagsmith) -> None:
        self.schedule = schedule
        self.flagsmith = flagsmith
        self.mailbox = Mailbox(schedule.known)
        self.counts = Counts()
        self.now = 0.0
        #: The state that readers see.
        self.served: float | None = None
        self._fetching_until: float | None = None
        self._started_at = -math.inf
        self._not_before = -math.inf
        self._older_since: float | None = None
        self._failed_last = False

    @property
    def is_fetching(self) -> bool:
        return self._fetching_until is not None

    @property
    def silence(self) -> float:
        """The rest of the time in which the API must not be called, in seconds."""
        return max(0.0, self._not_before - self.now)

    def start_from(self, epoch: float) -> None:
        """Start with a snapshot from a file."""
        self.schedule.hold(epoch, self.now)
        self.served = epoch

    def announce(self, epoch: float | None) -> None:
        if epoch is None:
            self.counts.unnumbered += 1
        else:
            self.counts.announced.add(epoch)
            self.counts.whole_seconds += epoch.is_integer()
        self.mailbox.announce(epoch)

    def connect(self) -> None:
        self.counts.connections += 1
        self.mailbox.connected()

    def disconnect(self) -> None:
        self.mailbox.disconnected("simulated")

    def run(self, seconds: float) -> None:
        """Advance the clock, and do all that is due until then."""
        end = self.now + seconds
        for _ in range(100_000):
            if self._fetching_until is None:
                self._read_mail()
                upcoming = max(self.now, self.schedule.due)
            else:
                upcoming = self._fetching_until
            if upcoming > end:
                self.now = end
                return
            self.now = upcoming
            if self._fetching_until is None:
                self._start()
            else:
                self._finish()
        raise AssertionError("the schedule runs hot")

    def check_price(self) -> None:
        """Check that the number of fetches is bounded by the number of their causes."""
        counts, schedule = self.counts, self.schedule
        shortest = min(schedule.poll_interval, schedule.live_interval or math.inf)
        polls = 1 + self.now / (0.9 * shortest)
        events = counts.unnumbered + counts.whole_seconds
        assert counts.answers <= (
            1
            + 9 * len(counts.announced)
            + events
            + counts.connections
            + polls
            + 10 * counts.runs_of_older
        )
        retries = 9 * counts.runs_of_failures + self.now / (0.9 * schedule.poll_interval)
        assert counts.failures <= 1 + retries + len(counts.announced) + events

    def _read_mail(self) -> None:
        mail = self.mailbox.take(timeout=0)
        for reason in mail.transitions:
            if reason is None:
                self.schedule.connected(self.now)
            else:
                self.schedule.disconnected(self.now)
        for epoch in mail.greeting:
            self.schedule.greeted(epoch)
        if mail.unnumbered:
            self.schedule.announced(None, self.now)
        if mail.newest is not None:
            self.schedule.announced(mail.newest, self.now)

    def _start(self) -> None:
        assert self.now >= self._started_at + self.schedule.min_interval - TINY
        assert self.now >= self._not_before - TINY
        self._started_at = self.now
        self.schedule.started(self.now)
        self._fetching_until = self.now + self.flagsmith.seconds

    def _finish(self) -> None:
        self._fetching_until = None
        if self.flagsmith.failing:
            self.counts.runs_of_failures += not self._failed_last
            self.counts.failures += 1
            retry_after = self.flagsmith.retry_after
            self.schedule.failed(self.now, retry_after)
            if retry_after is not None:
                self._not_before = self.now + min(retry_after, 600)
            self._failed_last = True
        else:
            self.counts.answers += 1
            self._answered(*self.flagsmith.answer())
            self._failed_last = False

    def _answered(self, epoch: float | None, state: float) -> None:
        held = self.schedule.held
        verdict, given_up = self.schedule.answered(epoch, self.now)
        if epoch is not None and held is not None and epoch < held:
            if self._older_since is None:
                self.counts.runs_of_older += 1
                self._older_since = self.now
            kept_serving = self.now >= self._older_since + OLDER_TAKEN_AFTER_SECONDS
            assert verdict is (Verdict.TAKE_OLDER if kept_serving else Verdict.REFUSE)
        else:
            assert verdict is Verdict.TAKE
        if verdict is Verdict.REFUSE:
            assert self.schedule.held == held
        else:
            self._older_since = None
            self.served = state
            assert self.schedule.held == (held if epoch is None else epoch)
        assert set(given_up) <= self.counts.announced
        assert all(epoch is not None and given > epoch for given in given_up)


def make_world(
    kind: str,
    *,
    min_interval: float = 0.25,
    poll_interval: float = 60.0,
    live_interval: float = 300.0,
    seed: int = 0,
) -> World:
    """Make a world at the default settings."""
    source = random.Random(seed)
    schedule = Schedule(min_interval, poll_interval, live_interval, source.random)
    return World(schedule, Flagsmith(kind))
