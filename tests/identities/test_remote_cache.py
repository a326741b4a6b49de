"""Remote evaluation of identities: how long an answer is kept."""

from __future__ import annotations

import pytest
from flask import Flask

from flask_flagsmith_realtime import (
    Identity,
    flags,
    flags_changed,
)
from flask_flagsmith_realtime.model import MOST_IDENTITIES
from tests.support.apps import MakeApp, Received
from tests.support.misbehaving import MisbehavingFlagsmith
from tests.support.remote_identities import ALICE, read
from tests.support.waiting import eventually


def epoch_of(app: Flask) -> float | None:
    """Return the epoch that a new request sees."""
    with app.app_context():
        return flags.epoch


def test_an_answer_expires_after_the_ttl(
    make_remote_app: MakeApp, flagsmith: MisbehavingFlagsmith
) -> None:
    app = make_remote_app(IDENTITY_TTL_SECONDS=0.1)
    read(app)
    eventually(lambda: read(app) and flagsmith.identities.count == 2)


def test_a_newer_epoch_expires_an_answer(
    make_remote_app: MakeApp, flagsmith: MisbehavingFlagsmith
) -> None:
    app = make_remote_app(IDENTITY_TTL_SECONDS=3600)
    changed = Received(flags_changed, app)
    assert read(app) != "new"
    flagsmith.change("banner_text", value="new")
    changed.wait()
    assert read(app) == "new"
    assert read(app) == "new"
    assert flagsmith.identities.count == 2


def test_a_request_reads_one_answer_from_begin_to_end(
    make_remote_app: MakeApp, flagsmith: MisbehavingFlagsmith
) -> None:
    app = make_remote_app(IDENTITY_TTL_SECONDS=0.1)
    changed = Received(flags_changed, app)
    with app.app_context():
        before = flags.for_identity(ALICE)["banner_text"].value
        flagsmith.change("banner_text", value="new")
        changed.wait()
        assert flags.for_identity(ALICE)["banner_text"].value == before
        assert flags.for_identity(ALICE).for_identity(ALICE)["banner_text"].value == before
        assert flagsmith.identities.count == 1
    assert read(app) == "new"


def test_a_long_request_and_new_ones_share_answers(
    make_remote_app: MakeApp, flagsmith: MisbehavingFlagsmith
) -> None:
    app = make_remote_app(IDENTITY_TTL_SECONDS=3600)
    changed = Received(flags_changed, app)
    with app.app_context():
        before = flags["banner_text"].value
        flagsmith.change("banner_text", value="new")
        changed.wait()
        with app.app_context():
            assert flags.for_identity(ALICE)["banner_text"].value == "new"
        assert flags.for_identity(ALICE)["banner_text"].value == "new"
        assert flags["banner_text"].value == before
    assert read(app) == "new"
    assert flagsmith.identities.count == 1


@pytest.mark.slow
def test_the_least_recently_used_answer_is_dropped_first(
    make_remote_app: MakeApp, flagsmith: MisbehavingFlagsmith
) -> None:
    app = make_remote_app(IDENTITY_TTL_SECONDS=3600)
    for number in range(MOST_IDENTITIES):
        read(app, Identity(f"identity {number}"))
    read(app, Identity("identity 0"))
    read(app, Identity("one more"))
    calls = flagsmith.identities.count
    assert calls == MOST_IDENTITIES + 1
    read(app, Identity("identity 0"))
    assert flagsmith.identities.count == calls
    read(app, Identity("identity 1"))
    assert flagsmith.identities.count == calls + 1


def test_equal_flags_are_one_object(app: Flask) -> None:
    with app.app_context():
        one, two = flags.for_identity("one"), flags.for_identity("two")
        assert one["banner_text"] is two["banner_text"]
