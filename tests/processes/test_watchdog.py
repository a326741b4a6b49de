"""The watchdog: calls each function once, at its time, in every process by itself."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flask_flagsmith_realtime.processes import PerProcess, watch, watchdog
from tests.support.waiting import PATIENCE_SECONDS, eventually

THREAD = "flagsmith-watchdog"


@pytest.fixture(autouse=True)
def others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starts each test with a process that watches nothing: apps of other tests may."""
    global _others
    _others = set(threading.enumerate())
    monkeypatch.setattr(watchdog, "_watchdogs", PerProcess(watchdog._Watchdog))


_others: set[threading.Thread] = set()


def watchdog_threads() -> set[threading.Thread]:
    return {thread for thread in set(threading.enumerate()) - _others if thread.name == THREAD}


def count_threads() -> int:
    return len(watchdog_threads())


@contextmanager
def held() -> Iterator[None]:
    """Holds the thread back: several functions are then due at once."""
    with watchdog._watchdogs.get()._changed:
        yield


class Calls:
    """Records calls in their order."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._changed = threading.Condition()

    def __call__(self, name: str) -> None:
        with self._changed:
            self.names.append(name)
            self._changed.notify_all()

    def wait(self, count: int) -> list[str]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.names) >= count, PATIENCE_SECONDS)
            return list(self.names)


def test_functions_are_called_in_the_order_of_their_times() -> None:
    calls = Calls()
    with held():
        watch(-100.0, lambda: calls("third"))
        watch(-300.0, lambda: calls("first"))
        watch(-200.0, lambda: calls("second"))
    assert calls.wait(3) == ["first", "second", "third"]


def test_no_function_is_called_before_its_time() -> None:
    calls = Calls()
    began = time.monotonic()
    watch(0.1, lambda: calls("now"))
    calls.wait(1)
    assert time.monotonic() - began >= 0.1


def test_a_cancelled_function_is_not_called_and_is_not_kept_alive() -> None:
    calls = Calls()

    def call() -> None:
        calls("cancelled")

    handle, called = watch(600.0, call), weakref.ref(call)
    handle.cancel()
    handle.reschedule(0.0)
    del call
    assert called() is None
    watch(0.1, lambda: calls("later"))
    assert calls.wait(1) == ["later"]


def test_a_function_can_be_moved_to_an_earlier_and_to_a_later_time() -> None:
    calls = Calls()
    moved_up = watch(600, lambda: calls("moved up"))
    with held():
        moved_back = watch(-400.0, lambda: calls("moved back"))
        moved_back.reschedule(-100.0)
        moved_up.reschedule(-300.0)
        watch(-200.0, lambda: calls("between"))
    assert calls.wait(3) == ["moved up", "between", "moved back"]
    moved_up.reschedule(0.0)
    watch(0.1, lambda: calls("end"))
    assert calls.wait(4)[3] == "end", "a function is called once"


def test_a_failing_function_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    calls = Calls()

    def fail() -> None:
        raise LookupError("a mistake")

    watch(0.0, fail)
    watch(0.1, lambda: calls("after"))
    calls.wait(1)
    assert "LookupError: a mistake" in caplog.text


def test_one_thread_serves_all_and_ends_when_nothing_is_watched() -> None:
    calls = Calls()
    watch(0.1, lambda: calls("first"))
    second = watch(600.0, lambda: calls("second"))
    assert count_threads() == 1
    second.reschedule(0.2)
    calls.wait(2)
    eventually(lambda: count_threads() == 0)
    watch(0.0, lambda: calls("third"))
    calls.wait(3)


def test_calls_in_quick_succession_share_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "_IDLE_SECONDS", PATIENCE_SECONDS)
    threads: set[threading.Thread] = set()
    for _ in range(3):
        handle = watch(600.0, int)
        threads |= watchdog_threads()
        handle.cancel()
    assert len(threads) == 1


def test_the_thread_ends_when_the_last_watch_is_cancelled() -> None:
    calls = Calls()
    last = watch(600.0, lambda: calls("last"))
    watch(0.1, lambda: calls("first"))
    calls.wait(1)
    last.cancel()
    eventually(lambda: count_threads() == 0)


def test_concurrent_watches_are_all_called() -> None:
    calls = Calls()

    def work() -> None:
        for _ in range(100):
            watch(0.05, lambda: calls("called"))
            watch(600.0, lambda: calls("cancelled")).cancel()

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert set(calls.wait(800)) == {"called"}
    eventually(lambda: count_threads() == 0)
    assert len(calls.names) == 800


def test_without_a_thread_the_next_watch_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    eventually(lambda: count_threads() == 0)
    calls = Calls()

    start = threading.Thread.start

    def fail(thread: threading.Thread) -> None:
        if thread.name == THREAD:
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        watch(0.0, lambda: calls("late"))
    watch(0.1, lambda: calls("in time"))
    assert calls.wait(2) == ["late", "in time"]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_a_watchdog_of_its_own() -> None:
    calls = Calls()
    inherited = watch(600, lambda: calls("inherited"))
    child = os.fork()
    if child == 0:
        try:
            in_time = threading.Event()
            # What the child inherits has no effect there, and does not block.
            inherited.reschedule(0.0)
            inherited.cancel()
            watch(0.1, in_time.set)
            succeeded = in_time.wait(PATIENCE_SECONDS) and not calls.names
        finally:
            os._exit(0 if succeeded else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    inherited.reschedule(0.0)
    assert calls.wait(1) == ["inherited"]


GEVENT = """
import threading
from flask_flagsmith_realtime.processes import watch

before = threading.Event()
watch(0.0, before.set)
assert before.wait(60)

import gevent.monkey
gevent.monkey.patch_all()

import os, time
after = threading.Event()
began = time.monotonic()
watch(0.2, after.set)
assert after.wait(60)
child = os.fork()
if child == 0:
    in_child = threading.Event()
    watch(0.1, in_child.set)
    os._exit(0 if in_child.wait(60) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print("done")
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_it_works_before_and_after_gevent_patches() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", GEVENT],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.stdout == "done\n", done.stderr
