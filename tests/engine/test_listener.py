"""The listener: how often it knocks, what it says, and that it ends at once."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from flask_flagsmith_realtime.client.backoff import Reconnect
from flask_flagsmith_realtime.config.settings import read_config
from flask_flagsmith_realtime.engine.listener import Listener
from flask_flagsmith_realtime.engine.mailbox import Mail, Mailbox
from flask_flagsmith_realtime.monitoring.activity import Activity
from tests.support.misbehaving import (
    RESET,
    SILENT,
    MisbehavingFlagsmith,
    Stream,
    answers,
    data_event,
    event,
)
from tests.support.misbehaving.answers import Behaviour
from tests.support.waiting import PATIENCE_SECONDS, eventually


class Hasty(Reconnect, frozen=True):
    """Decides as :class:`Reconnect` does, remembers what it was asked, and waits for nothing."""

    asked: list[tuple[Any, ...]] = msgspec.field(default_factory=list)

    def after_connection(self, lived: float, *random: Any) -> tuple[float, Reconnect]:
        self.asked.append(("connection",))
        count = len(self.asked)
        following = super().after_connection(lived)[1]
        # That of a connection which was short is a failure to it.
        del self.asked[count:]
        return 0.0, following

    def after_failure(
        self, *random: Any, retry_after: float | None = None
    ) -> tuple[float, Reconnect]:
        self.asked.append(("failure", self.base, retry_after))
        return 0.0, super().after_failure(retry_after=retry_after)[1]

    def after_refusal(self, retry_after: float | None, *random: Any) -> tuple[float, Reconnect]:
        self.asked.append(("refusal", retry_after))
        return 0.0, super().after_refusal(retry_after)[1]


@dataclass
class Running:
    """A listener at work in its thread."""

    listener: Listener
    mailbox: Mailbox
    thread: threading.Thread

    def read_until(self, condition: Callable[[list[Mail]], bool]) -> list[Mail]:
        """Take mail until something is so of all that has come."""
        mails: list[Mail] = []
        while not condition(mails):
            mail = self.mailbox.take(PATIENCE_SECONDS)
            assert mail != Mail(), "nothing has come in"
            mails.append(mail)
        return mails

    def stop(self) -> None:
        self.listener.stop()
        self.thread.join(PATIENCE_SECONDS)
        assert not self.thread.is_alive()


Listen = Callable[..., Running]


@pytest.fixture
def listen(flagsmith: MisbehavingFlagsmith) -> Iterator[Listen]:
    """Starts listeners. Settings are given without their prefix."""
    started: list[Running] = []

    def start(reconnect: Reconnect | None = None, **settings: Any) -> Running:
        given = {f"FLAGSMITH_{name}": value for name, value in settings.items()}
        mailbox = Mailbox()
        listener = Listener(
            read_config({**flagsmith.config, **given}), mailbox, Activity(), reconnect
        )
        thread = threading.Thread(target=listener.run, args=(flagsmith.client_side_key,))
        thread.start()
        started.append(Running(listener, mailbox, thread))
        return started[-1]

    yield start
    for running in started:
        running.stop()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines that Python's default logging shows."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name.startswith("flask_flagsmith_realtime")
    ]


# What it hands on


def test_announcements_and_the_connections_life_go_into_the_mailbox(
    flagsmith: MisbehavingFlagsmith, listen: Listen
) -> None:
    running = listen(Hasty())
    greeting = flagsmith.truth.version.epoch
    mails = running.read_until(lambda mails: any(mail.newest for mail in mails))
    assert list(mails[0].transitions) == [None]
    assert mails[-1].newest == greeting
    assert mails[-1].greeting == (greeting,)
    flagsmith.announce(1e10)
    assert running.read_until(bool)[0].newest == 1e10
    flagsmith.say(data_event("{}"))
    assert running.read_until(bool)[0].unnumbered
    flagsmith.say(RESET)
    mails = running.read_until(lambda mails: any(None in m.transitions for m in mails))
    transitions = [transition for mail in mails for transition in mail.transitions]
    assert transitions[0] == "connection reset by peer"


# How often it knocks


@pytest.mark.slow
def test_connections_that_live_are_a_second_apart(
    flagsmith: MisbehavingFlagsmith, listen: Listen
) -> None:
    lives: list[float] = []

    class Recording(Reconnect, frozen=True):
        def after_connection(self, lived: float, *random: Any) -> tuple[float, Reconnect]:
            lives.append(lived)
            return super().after_connection(lived, *random)

    # No greeting: its retry would be the base of the delay after a connection that is cut short.
    flagsmith.stream.always(Stream(greeting=None, lasts=0.8))
    listen(Recording())
    flagsmith.wait_for(lambda: flagsmith.stream.count >= 3)
    for lived, (before, after) in zip(lives, pairwise(flagsmith.stream.times()), strict=False):
        # On a busy machine the listener may find only its end.
        assert after - before >= 1.0 or lived < 0.5


@pytest.mark.parametrize(
    ("behaviour", "asked"),
    [
        (answers.status(401), ("refusal", None)),
        (answers.status(403), ("refusal", None)),
        (answers.status(404, {"Retry-After": "9"}), ("refusal", 9)),
        (answers.status(204), ("refusal", None)),
        (answers.html(200), ("refusal", None)),
        (answers.redirect("http://127.0.0.1:1/"), ("refusal", None)),
        (answers.too_many("7"), ("failure", 1.0, 7)),
        (answers.status(503, {"Retry-After": "7"}), ("failure", 1.0, 7)),
        (answers.status(503), ("failure", 1.0, None)),
        (answers.vanish, ("failure", 1.0, None)),
        (answers.hang, ("failure", 1.0, None)),
        (Stream(lasts=0.0), ("connection",)),
    ],
)
def test_each_end_has_its_own_delay(
    flagsmith: MisbehavingFlagsmith,
    listen: Listen,
    behaviour: Behaviour | Stream,
    asked: tuple[Any, ...],
) -> None:
    reconnect = Hasty()
    flagsmith.stream.next(behaviour)
    listen(reconnect, STREAM_TIMEOUT_SECONDS=0.3 if behaviour is answers.hang else 600)
    flagsmith.wait_for(lambda: flagsmith.stream.count >= 2)
    assert reconnect.asked[0] == asked


def test_a_stream_that_falls_silent_was_a_connection(
    flagsmith: MisbehavingFlagsmith, listen: Listen
) -> None:
    reconnect = Hasty()
    flagsmith.stream.always(SILENT)
    listen(reconnect, STREAM_TIMEOUT_SECONDS=0.3)
    # On a busy machine the beginning of a stream, too, may come too late.
    eventually(lambda: ("connection",) in reconnect.asked)


def test_the_servers_retry_is_the_base_of_later_delays(
    flagsmith: MisbehavingFlagsmith, listen: Listen
) -> None:
    reconnect = Hasty()
    flagsmith.stream.next(Stream(greeting=None, opening=event(1.0, retry=4000), lasts=0.6))
    flagsmith.stream.next(answers.status(500))
    listen(reconnect)
    flagsmith.wait_for(lambda: flagsmith.stream.count == 3)
    assert reconnect.asked == [("connection",), ("failure", 4.0, None)]


# What it says


def test_a_cause_is_named_once_and_so_is_the_recovery(
    flagsmith: MisbehavingFlagsmith, listen: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    refused, failed = answers.status(403), answers.status(503)
    flagsmith.stream.next(*[refused, failed] * 5)
    running = listen(Hasty())
    running.read_until(lambda mails: any(mail.newest for mail in mails))
    running.stop()
    refusal, failure, recovery = warnings(caplog)
    assert flagsmith.realtime_api_url in refusal
    assert "403 Forbidden" in refusal
    assert "plan" in refusal
    assert "'Enable real-time updates'" in refusal
    assert "FLAGSMITH_ENABLE_REALTIME_UPDATES" in refusal
    assert "every 60 s" in refusal
    assert "503 Service Unavailable" in failure
    assert recovery == "Flagsmith's stream is open again."


@pytest.mark.slow
def test_recycled_connections_are_not_worth_a_word(
    flagsmith: MisbehavingFlagsmith, listen: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    flagsmith.stream.always(Stream(lasts=0.8))
    flagsmith.stream.next(Stream(lasts=0.8, resets=True), Stream(lasts=0.8, ending=b"data: {"))
    running = listen(Hasty())
    flagsmith.wait_for(lambda: flagsmith.stream.count >= 4)
    running.stop()
    assert warnings(caplog) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (data_event("nonsense"), "an event of it was ignored: the data is not a JSON object"),
        (event(True), "an event of it was ignored: an epoch is a number, not bool"),
        (b"data: \xff\n\n", "it sent bytes that are not UTF-8"),
        (b"data: " + bytes(2**20), "it sent an event larger than 1 MiB"),
    ],
)
def test_nonsense_is_named_once_over_all_connections(
    flagsmith: MisbehavingFlagsmith,
    listen: Listen,
    caplog: pytest.LogCaptureFixture,
    content: bytes,
    words: str,
) -> None:
    flagsmith.stream.always(Stream(opening=content * 3, lasts=0.8))
    running = listen(Hasty())
    flagsmith.wait_for(lambda: flagsmith.stream.count >= 4)
    running.stop()
    (warning,) = warnings(caplog)
    assert words in warning
    assert "FLAGSMITH_REALTIME_API_URL" in warning


def test_connections_that_end_at_once_are_named_once(
    flagsmith: MisbehavingFlagsmith, listen: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    flagsmith.stream.always(Stream(lasts=0.0))
    running = listen(Hasty())
    flagsmith.wait_for(lambda: flagsmith.stream.count >= 20)
    running.stop()
    (warning,) = warnings(caplog)
    assert "its connections end at once" in warning


def test_a_mistake_of_ours_does_not_end_the_thread(
    flagsmith: MisbehavingFlagsmith, listen: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    class Clumsy(Mailbox):
        mistakes = 3

        def announce(self, epoch: float | None) -> None:
            if self.mistakes:
                self.mistakes -= 1
                raise ZeroDivisionError
            super().announce(epoch)

    mailbox = Clumsy()
    listener = Listener(read_config(flagsmith.config), mailbox, Activity(), Hasty())
    thread = threading.Thread(target=listener.run, args=(flagsmith.client_side_key,))
    thread.start()
    running = Running(listener, mailbox, thread)
    running.read_until(lambda mails: any(mail.newest for mail in mails))
    running.stop()
    mistakes = [text for text in warnings(caplog) if "ZeroDivisionError" in text]
    assert len(mistakes) == 1
    assert "Traceback" in mistakes[0]


# How it ends


@pytest.mark.parametrize(
    "behaviour",
    [SILENT, Stream(chunked=False), Stream(gzipped=True), answers.hang, answers.status(404)],
    ids=["chunked", "unframed", "compressed", "without an answer", "between two tries"],
)
def test_it_ends_at_once_whatever_it_waits_for(
    flagsmith: MisbehavingFlagsmith,
    listen: Listen,
    caplog: pytest.LogCaptureFixture,
    behaviour: Behaviour | Stream,
) -> None:
    flagsmith.stream.always(behaviour)
    running = listen(STREAM_TIMEOUT_SECONDS=600)
    flagsmith.wait_for(lambda: flagsmith.stream.count == 1)
    running.stop()
    flagsmith.wait_for(lambda: flagsmith.stream_server.connections == 0)
    assert flagsmith.stream.count == 1
    assert not any("not available" in text for text in warnings(caplog))


_FORK_UNDER_GEVENT = """
from gevent import monkey; monkey.patch_all()
import json, os, sys, threading
from flask_flagsmith_realtime.config import read_config
from flask_flagsmith_realtime.processes.forks import _close_inherited_sockets
from flask_flagsmith_realtime.engine.listener import Listener
from flask_flagsmith_realtime.engine.mailbox import Mailbox
from flask_flagsmith_realtime.monitoring.activity import Activity

def run():
    listener.run("environment")
    ended.set()

mailbox, ended, patience = Mailbox(), threading.Event(), float(sys.argv[2])
listener = Listener(read_config(json.loads(sys.argv[1])), mailbox, Activity())
threading.Thread(target=run, daemon=True).start()
while mailbox.take(patience).newest is None:
    pass
child = os.fork()
if child == 0:
    _close_inherited_sockets()
    os._exit(0 if ended.wait(patience) else 1)
_, status = os.waitpid(child, 0)
print("The child has gone", flush=True)
while mailbox.take(patience).newest is None:
    pass
listener.stop()
sys.exit(os.waitstatus_to_exitcode(status) if ended.wait(patience) else 2)
"""


@pytest.mark.slow
def test_under_gevent_a_fork_does_not_double_it(flagsmith: MisbehavingFlagsmith) -> None:
    flagsmith.stream.always(Stream(render=lambda epoch: event(epoch, retry=None)))
    config = {**flagsmith.config, "FLAGSMITH_STREAM_TIMEOUT_SECONDS": 600}
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", _FORK_UNDER_GEVENT),
            *(json.dumps(config), str(PATIENCE_SECONDS)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        flagsmith.announce(5e9)
        assert process.wait(PATIENCE_SECONDS) == 0
    assert flagsmith.stream.count == 1


def count_descriptors() -> int:
    """Return the number of open file descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


def test_many_connections_leak_nothing(flagsmith: MisbehavingFlagsmith, listen: Listen) -> None:
    kinds: list[Stream | Behaviour] = [
        Stream(lasts=0.0),
        Stream(lasts=0.0, chunked=False),
        Stream(lasts=0.0, gzipped=True),
        Stream(lasts=0.0, resets=True),
        Stream(lasts=0.0, greeting=None, opening=b"data: \xff\n\n"),
        answers.status(503),
        answers.html(200),
        answers.redirect("http://127.0.0.1:1/"),
        answers.cut_off,
        answers.reset,
        answers.vanish,
    ]

    def wait_for_rest(count: int) -> None:
        """Wait until the stream of that number is the only connection."""
        flagsmith.wait_for(
            lambda: (
                flagsmith.stream.count == count
                and flagsmith.stream_server.connections == flagsmith.open_streams == 1
            )
        )

    flagsmith.stream.next(*kinds, SILENT, *kinds * 10, SILENT)
    listen(Hasty(), STREAM_TIMEOUT_SECONDS=600)
    wait_for_rest(len(kinds) + 1)
    descriptors, threads = count_descriptors(), threading.active_count()
    flagsmith.say(RESET)
    wait_for_rest(11 * len(kinds) + 2)
    # The server's last threads may still be ending.
    eventually(lambda: count_descriptors() <= descriptors and threading.active_count() <= threads)
