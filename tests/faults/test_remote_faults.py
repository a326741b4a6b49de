"""Remote evaluation, where an answer's epoch is that of a header which lags by a minute while flags
are fresh, and where replicas differ: right flags, and never older ones again.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.lanes import BEFORE, WORKERS, Lanes, MakeLanes, lines, most_tries
from tests.support.misbehaving import answers
from tests.support.misbehaving.answers import Behaviour

LAG_SECONDS = 60

REMOTE = {"ENVIRONMENT_KEY": "MisbehavingClientSideKey"}
NAMES = ("header-lags", "header-lags-in-turns", "replica-lags", "local-header-lags", "identities")


@pytest.fixture(scope="module")
def lanes(make_lanes: MakeLanes) -> Lanes:
    """Lanes at rest."""
    lanes = make_lanes(*NAMES)
    lanes.serve({name: {} if name.startswith("local") else REMOTE for name in NAMES})
    for lane in lanes.values():
        lane.wait_until_it_rests()
    return lanes


def test_a_lagging_header_hides_no_change(lanes: Lanes) -> None:
    lane = lanes["header-lags"]
    flagsmith = lane.flagsmith
    lane.wait_until_it_shows(BEFORE, "/identity")
    flagsmith.flags.always(answers.lagging_header(LAG_SECONDS))
    flagsmith.identities.always(answers.lagging_header(LAG_SECONDS))
    for value in ("one", "two", "three"):
        flagsmith.change("banner_text", value=value)
        lane.wait_until_it_shows(value)
        lane.wait_until_it_shows(value, "/identity")
    calls = flagsmith.flags.times()
    assert len(calls) <= WORKERS * (1 + 3 * most_tries(calls[-1] - calls[0]))
    # Flags changed three times: each worker asks anew for the one identity there is.
    assert flagsmith.identities.count <= WORKERS * 4
    assert lane.lines(0) == []


def test_a_lagging_header_does_not_count_where_the_document_has_an_epoch(lanes: Lanes) -> None:
    lane = lanes["local-header-lags"]
    lane.flagsmith.environment_document.always(answers.lagging_header(LAG_SECONDS))
    lane.flagsmith.change("banner_text", value="after")
    lane.wait_until_it_shows("after")
    assert lane.flagsmith.environment_document.count == 2 * WORKERS


@pytest.mark.parametrize(
    ("name", "replica"),
    [
        ("replica-lags", answers.older(LAG_SECONDS)),
        ("header-lags-in-turns", answers.lagging_header(LAG_SECONDS)),
    ],
)
def test_a_replica_that_lags_never_brings_older_flags_back(
    lanes: Lanes, name: str, replica: Behaviour
) -> None:
    lane = lanes[name]
    lane.flagsmith.flags.always(answers.by_turns(answers.truth, replica))
    for value in ("one", "two", "three"):
        lane.flagsmith.change("banner_text", value=value)
        lane.wait_until_it_shows(value)
    calls = lane.flagsmith.flags.times()
    assert len(calls) <= WORKERS * (1 + 3 * 2 * most_tries(calls[-1] - calls[0]))
    for answer in lane.wait_until_it_shows("three"):
        assert answer["epochs"] == sorted(answer["epochs"])
        assert list(dict.fromkeys(answer["banners"])) == answer["banners"]
    assert lane.lines(0) == []


def test_identities_that_cannot_be_asked_for_get_the_environments_flags(lanes: Lanes) -> None:
    lane = lanes["identities"]
    flagsmith = lane.flagsmith
    flagsmith.truth.edit(override_somebody)
    flagsmith.identities.always(answers.status(500))
    lane.wait_until_it_shows(BEFORE, "/identity")
    asked = flagsmith.identities.count
    flagsmith.identities.always(answers.truth)
    lane.wait_until_it_shows("Hello, somebody", "/identity")
    assert asked <= 4 * WORKERS
    assert len(lane.lines(WORKERS)) == WORKERS
    assert len(lines(lanes.server, "answers for identities again", WORKERS)) == WORKERS
    assert "Traceback" not in lanes.server.output


def override_somebody(document: dict[str, Any]) -> None:
    state = next(s for s in document["feature_states"] if s["feature"]["name"] == "banner_text")
    override = {**state, "feature_state_value": "Hello, somebody"}
    document["identity_overrides"].append(
        {"identifier": "somebody", "identity_features": [override]}
    )
