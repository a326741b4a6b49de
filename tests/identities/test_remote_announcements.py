"""Remote evaluation: an announced change reaches identities, also where the header's epoch lags."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from flask import Flask

from flask_flagsmith_realtime import flags_changed, snapshot_refreshed
from flask_flagsmith_realtime.app_state import state_of
from tests.support.apps import MakeApp, Received
from tests.support.misbehaving import MisbehavingFlagsmith, answers
from tests.support.remote_identities import ALICE, read
from tests.support.waiting import PATIENCE_SECONDS, eventually

HOUR = 3600


@pytest.fixture
def app(make_remote_app: MakeApp, flagsmith: MisbehavingFlagsmith) -> Flask:
    """An app whose Flagsmith answers with new flags and an old epoch in the header."""
    flagsmith.flags.always(answers.lagging_header(HOUR))
    flagsmith.identities.always(answers.lagging_header(HOUR))
    made = make_remote_app(IDENTITY_TTL_SECONDS=HOUR)
    engine = state_of(made).engine
    # A stream that greets late causes one more fetch.
    eventually(lambda: engine.status().last_event is not None)
    eventually(lambda: engine.status().calls == flagsmith.flags.count)
    read(made)
    return made


def override(flagsmith: MisbehavingFlagsmith, value: object) -> float:
    """Change what only the identity shows, as a segment's rule does: ``flags/`` stays the same."""

    def edit(document: dict[str, Any]) -> None:
        state = next(
            state
            for state in document["feature_states"]
            if state["feature"]["name"] == "banner_text"
        )
        document["identity_overrides"] = [
            {
                "identifier": ALICE.identifier,
                "identity_features": [{**state, "feature_state_value": value}],
            }
        ]

    return flagsmith.truth.edit(edit).epoch


def reads(app: Flask, value: object) -> bool:
    return bool(read(app) == value)


def test_a_change_that_shows_in_no_environment_flag_is_read(
    app: Flask, flagsmith: MisbehavingFlagsmith
) -> None:
    for number in range(3):
        flagsmith.announce(override(flagsmith, f"number {number}"))
        eventually(partial(reads, app, f"number {number}"))


def test_open_pages_learn_of_a_change_that_shows_in_no_environment_flag(
    app: Flask, flagsmith: MisbehavingFlagsmith
) -> None:
    engine = state_of(app).engine
    known = engine.wait_for_change(None, 0)
    flagsmith.announce(override(flagsmith, "new"))
    assert engine.wait_for_change(known, PATIENCE_SECONDS) not in (None, known)


def test_a_server_that_announces_before_it_commits(
    app: Flask, flagsmith: MisbehavingFlagsmith
) -> None:
    refreshed = Received(snapshot_refreshed, app)
    old = flagsmith.truth.version
    flagsmith.identities.always(answers.serving(old))
    flagsmith.announce(override(flagsmith, "committed later"))
    refreshed.wait()
    before = flagsmith.identities.count
    eventually(lambda: read(app) != "committed later" and flagsmith.identities.count > before)
    flagsmith.identities.always(answers.lagging_header(HOUR))
    eventually(partial(reads, app, "committed later"))


@pytest.mark.slow
def test_an_announced_change_costs_two_calls_of_flags_and_three_of_an_identity(
    app: Flask, flagsmith: MisbehavingFlagsmith
) -> None:
    # A fourth comes when the header has caught up: see test_freshness.py.
    fetched, asked = flagsmith.flags.count, flagsmith.identities.count
    flagsmith.announce(override(flagsmith, "new"))
    eventually(lambda: read(app) and flagsmith.identities.count == asked + 3)
    for _ in range(20):
        read(app)
    assert flagsmith.identities.count == asked + 3
    flagsmith.wait_for(lambda: flagsmith.flags.count >= fetched + 2)
    assert flagsmith.flags.count == fetched + 2


def test_a_changed_environment_flag_is_read_at_once(
    app: Flask, flagsmith: MisbehavingFlagsmith
) -> None:
    changed = Received(flags_changed, app)
    flagsmith.change("banner_text", value="new")
    changed.wait()
    assert read(app) == "new"


def test_only_a_change_of_type_is_read(app: Flask, flagsmith: MisbehavingFlagsmith) -> None:
    for value in (1, True, 1.0, 0, False):
        flagsmith.change("banner_text", value=value)
        eventually(lambda value=value: read(app) == value and type(read(app)) is type(value))
