"""Properties of the schedule, for any order of changes, events, answers, failures, reconnects."""

from __future__ import annotations

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from flask_flagsmith_realtime.client.backoff import RETRY_SECONDS
from flask_flagsmith_realtime.engine.schedule import OLDER_TAKEN_AFTER_SECONDS
from tests.support.simulated import START, World, make_world

events = st.sampled_from(["newest", "older", "repeated", "absurd", "absurd again", "none"])


class ScheduleMachine(RuleBasedStateMachine):
    """A schedule follows a Flagsmith of which everything goes wrong that can.

    What is checked with each step is written in :class:`simulated.World`.
    """

    world: World

    @initialize(
        kind=st.sampled_from(["document", "header", "epochless"]),
        min_interval=st.sampled_from([0.01, 0.25, 5.0]),
        poll_interval=st.sampled_from([1.0, 60.0]),
        live_interval=st.sampled_from([0.0, 300.0]),
        seed=st.integers(0, 1000),
        from_file=st.sampled_from([None, START - 500, START - 100]),
        cuts_fractions=st.booleans(),
    )
    def begin(
        self,
        kind: str,
        min_interval: float,
        poll_interval: float,
        live_interval: float,
        seed: int,
        from_file: float | None,
        cuts_fractions: bool,
    ) -> None:
        self.world = make_world(
            kind,
            min_interval=min_interval,
            poll_interval=poll_interval,
            live_interval=live_interval,
            seed=seed,
        )
        self.announced = [START - 200]
        self.absurd = START * 2 + 0.5
        self.restored = False
        self.cuts_fractions = cuts_fractions
        if from_file is not None:
            self.world.start_from(from_file)

    @rule(seconds=st.sampled_from([0.0, 0.05, 0.3, 1.0, 5.0, 20.0, 70.0, 400.0]))
    def pass_time(self, seconds: float) -> None:
        self.world.run(seconds)

    @rule(both=st.booleans())
    def change(self, both: bool) -> None:
        """A flag changes; one replica has the change, or both."""
        flagsmith = self.world.flagsmith
        flagsmith.change(self.world.now)
        flagsmith.replicas[0] = flagsmith.truth
        if both:
            flagsmith.catch_up()

    @rule()
    def change_that_no_replica_has_yet(self) -> None:
        self.world.flagsmith.change(self.world.now)

    @rule()
    def replicas_catch_up(self) -> None:
        self.world.flagsmith.catch_up()

    @rule(seconds=st.sampled_from([1.0, 1000.0]))
    def restore_a_backup(self, seconds: float) -> None:
        self.world.flagsmith.truth -= seconds
        self.world.flagsmith.catch_up()
        self.restored = True

    @rule(which=st.sampled_from([(0,), (1,), (0, 1), (0, 1, 1)]))
    def calls_meet_other_replicas(self, which: tuple[int, ...]) -> None:
        self.world.flagsmith.turns = which

    @rule(seconds=st.sampled_from([0.0, 0.1, 10.0]))
    def calls_take_as_long(self, seconds: float) -> None:
        self.world.flagsmith.seconds = seconds

    @rule(retry_after=st.sampled_from([None, None, 0.0, 3.0, 120.0, 1e6]))
    def api_breaks(self, retry_after: float | None) -> None:
        self.world.flagsmith.failing = True
        self.world.flagsmith.retry_after = retry_after

    @rule()
    def api_is_mended(self) -> None:
        self.world.flagsmith.failing = False

    @rule(greeting=st.none() | events)
    def connect(self, greeting: str | None) -> None:
        self.world.connect()
        if greeting is not None:
            self.send(greeting)

    @rule()
    def disconnect(self) -> None:
        self.world.disconnect()

    @rule(burst=st.lists(events, min_size=1, max_size=5))
    def announce(self, burst: list[str]) -> None:
        for event in burst:
            self.send(event)

    @rule()
    def announce_a_flood_of_absurd_epochs(self) -> None:
        for _ in range(40):
            self.send("absurd")
            self.world.run(0.0)

    def send(self, event: str) -> None:
        epoch: float | None
        if event == "newest":
            epoch = self.written(self.world.flagsmith.truth)
        elif event == "older":
            epoch = self.written(self.world.flagsmith.truth - 50.5)
        elif event == "repeated":
            epoch = self.announced[-1]
        elif event == "absurd":
            self.absurd += 1
            epoch = self.absurd
        elif event == "absurd again":
            epoch = self.absurd
        else:
            epoch = None
        if epoch is not None:
            self.announced.append(epoch)
        self.world.announce(epoch)

    def written(self, epoch: float) -> float:
        """An epoch as this stream writes it."""
        return float(math.floor(epoch)) if self.cuts_fractions else epoch

    def is_news(self, epoch: float) -> bool:
        """Return whether a stream that truncates epochs has not announced this one before."""
        return not self.cuts_fractions or self.written(epoch) not in self.world.schedule.known

    @precondition(lambda self: not self.world.is_fetching and not self.world.flagsmith.failing)
    @rule(
        event=st.sampled_from(["newest", "none"]),
        before=st.lists(events, max_size=3),
        after=st.lists(events, max_size=3),
    )
    def an_announced_change_is_served_after_one_fetch(
        self, event: str, before: list[str], after: list[str]
    ) -> None:
        world, flagsmith = self.world, self.world.flagsmith
        flagsmith.change(world.now)
        flagsmith.catch_up()
        held, is_news = world.schedule.held, self.is_news(flagsmith.truth)
        for each in [*before, event, *after]:
            self.send(each)
        if held is not None and held > flagsmith.truth:
            return  # A backup was restored; and the clock that epochs come from went back with it.
        if event == "newest" and (not is_news or (self.cuts_fractions and self.restored)):
            return  # What a second hides, the next event, connection or poll brings.
        # The jitter of a Retry-After is 5 s at the most.
        silence = world.silence + 5.0 if world.silence else 0.0
        world.run(silence + world.schedule.min_interval + flagsmith.seconds + 0.01)
        assert world.served == flagsmith.truth

    @precondition(lambda self: not self.world.is_fetching and not self.world.flagsmith.failing)
    @rule(lag=st.sampled_from([0.2, 1.0, 7.0, 30.0, 60.0]))
    def a_change_that_the_api_has_late_is_served_soon_after(self, lag: float) -> None:
        """Asking again takes at most about as long as one has been asking for it."""
        world, flagsmith = self.world, self.world.flagsmith
        world.run(world.silence * 1.1 + 5.0)
        flagsmith.change(world.now)
        held, announced = world.schedule.held, self.written(flagsmith.truth)
        if not self.is_news(flagsmith.truth) or (held is not None and announced <= held):
            return
        self.send("newest")
        world.run(lag)
        flagsmith.catch_up()
        world.run(1.2 * lag + 1.0 + world.schedule.min_interval + 5 * flagsmith.seconds)
        assert world.served == flagsmith.truth

    @rule(stream=st.sampled_from(["as it is", "down", "up, silent", "up, greeted with nonsense"]))
    def once_faults_stop_the_newest_state_is_served(self, stream: str) -> None:
        world, flagsmith, schedule = self.world, self.world.flagsmith, self.world.schedule
        flagsmith.failing = False
        flagsmith.catch_up()
        world.run(flagsmith.seconds)
        if stream == "down":
            world.disconnect()
        elif stream != "as it is" or not schedule.live_interval:
            world.disconnect()
            world.connect()
            if stream == "up, greeted with nonsense" and flagsmith.kind != "epochless":
                self.send("absurd again")
        # Each connection is caught up with, unless its greeting says that there is no need.
        live_interval = schedule.live_interval if stream == "as it is" else 0.0
        promised = max(schedule.poll_interval, live_interval, RETRY_SECONDS[-1]) * 1.2
        if schedule.held is not None and flagsmith.truth < schedule.held:
            promised += OLDER_TAKEN_AFTER_SECONDS
        world.run(world.silence * 1.1 + promised + 10 * (1 + flagsmith.seconds))
        assert world.served == flagsmith.truth
        if flagsmith.kind != "epochless":
            assert schedule.held == flagsmith.truth
        self.restored = False

    @invariant()
    def the_price_is_bounded(self) -> None:
        if hasattr(self, "world"):
            self.world.check_price()

    @invariant()
    def flags_never_go_back_by_themselves(self) -> None:
        """Readers get no flags that the API never had, and none older than those taken last."""
        if hasattr(self, "world") and self.world.flagsmith.kind == "document":
            assert self.world.served == self.world.schedule.held


TestSchedule = pytest.mark.slow(ScheduleMachine.TestCase)
TestSchedule.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
