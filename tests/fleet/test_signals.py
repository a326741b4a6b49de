"""Signals in a fleet: no receiver holds up the flags, and no change is missed."""

from __future__ import annotations

import threading
from typing import Any

from flask import Flask

from flask_flagsmith_realtime import flags_changed
from flask_flagsmith_realtime.emulator import Emulator
from tests.support.apps import Received
from tests.support.fleets import Members
from tests.support.waiting import PATIENCE_SECONDS


def test_all_members_follow_behind_receivers_that_block(
    members: Members, emulator: Emulator
) -> None:
    members.start(3)
    assert members.leader
    assert emulator.wait_for_streams(1)
    # The first flags of a member are no change.
    members.wait_for_flags()
    goes_on = threading.Event()
    entered = threading.Semaphore(0)

    def block(_app: Flask, **_: Any) -> None:
        entered.release()
        goes_on.wait(PATIENCE_SECONDS)

    for member in members.all:
        flags_changed.connect(block, sender=member.app)
    try:
        emulator.set_flag("banner_text", value="one")
        for _ in members.all:
            assert entered.acquire(timeout=PATIENCE_SECONDS)
        received = [Received(flags_changed, member.app) for member in members.all]
        for value in ("two", "three", "four"):
            emulator.set_flag("banner_text", value=value)
            members.wait_for(value)
        members.wait_for_state("live")
    finally:
        goes_on.set()
    for signals in received:
        change = signals.wait()["changes"]["banner_text"]
        assert change.before.value == "one"
        # The last change can be read before it waits for the receiver.
        assert change.after.value in ("three", "four")


def test_a_change_of_type_alone_reaches_all_members_although_the_epoch_stays(
    members: Members, emulator: Emulator
) -> None:
    emulator.override_identity("alice", "banner_text", value=1)
    members.start(3, LIVE_REFRESH_INTERVAL_SECONDS=0.3)
    members.wait_for_flags()
    received = [Received(flags_changed, member.app) for member in members.all]
    with emulator.silent():
        emulator.override_identity("alice", "banner_text", value=True)
    for signals in received:
        assert signals.wait()["changes"]["banner_text"].targeting_changed
