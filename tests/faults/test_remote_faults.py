"""Remote evaluation with a header of epochs that lags, and with replicas that lag: changes are
visible at once, and older flags never come back.
"""

from __future__ import annotations

from typing import Any

import pytest

from flask_flagsmith_realtime.identities.freshness import CONFIRMATION_SECONDS
from tests.support.lanes import BEFORE, WORKERS, Lanes, MakeLanes, lines, most_fetches
from tests.support.misbehaving import answers
from tests.support.misbehaving.answers import Behaviour

LAG_SECONDS = 60

REMOTE = {"ENVIRONMENT_KEY": "MisbehavingClientSideKey"}
NAMES = ("header-lags", "header-lags-in-turns", "replica-lags", "local-header-lags", "identities")


@pytest.fixture(scope="module")
def lanes(make_lanes: MakeLanes) -> Lanes:
    """Idle lanes."""
    lanes = make_lanes(*NAMES)
    lanes.serve({name: {} if name.startswith("local") else REMOTE for name in NAMES})
    for lane in lanes.values():
        lane.wait_until_idle()
    return lanes


def test_a_lagging_header_hides_no_change(lanes: Lanes) -> None:
    lane = lanes["header-lags"]
    flagsmith = lane.flagsmith
    lane.wait_for_banner(BEFORE, "/identity")
    flagsmith.flags.always(answers.lagging_header(LAG_SECONDS))
    flagsmith.identities.always(answers.lagging_header(LAG_SECONDS))
    for value in ("one", "two", "three"):
        flagsmith.change("banner_text", value=value)
        lane.wait_for_banner(value)
        lane.wait_for_banner(value, "/identity")
    calls = [call for call in lane.calls() if call.path.endswith("/flags/")]
    assert len(calls) <= WORKERS * 3 * most_fetches(calls[-1].at - calls[0].at)
    # Flags changed three times: each worker calls for its one identity at first, after each change,
    # and again as long as the header is behind and when it has caught up.
    times = flagsmith.identities.times()
    again = sum(times[-1] - times[0] >= delay for delay in (*CONFIRMATION_SECONDS, LAG_SECONDS))
    assert len(times) <= WORKERS * (1 + 3 * (1 + again))
    assert lane.lines(0) == []


def test_in_local_evaluation_the_lagging_header_is_not_used(lanes: Lanes) -> None:
    lane = lanes["local-header-lags"]
    lane.flagsmith.environment_document.always(answers.lagging_header(LAG_SECONDS))
    lane.flagsmith.change("banner_text", value="after")
    lane.wait_for_banner("after")
    assert len(lane.calls()) == WORKERS


@pytest.mark.parametrize(
    ("name", "replica"),
    [
        ("replica-lags", answers.older(LAG_SECONDS)),
        ("header-lags-in-turns", answers.lagging_header(LAG_SECONDS)),
    ],
)
def test_a_lagging_replica_never_brings_back_older_flags(
    lanes: Lanes, name: str, replica: Behaviour
) -> None:
    lane = lanes[name]
    lane.flagsmith.flags.always(answers.by_turns(answers.truth, replica))
    for value in ("one", "two", "three"):
        lane.flagsmith.change("banner_text", value=value)
        lane.wait_for_banner(value)
    calls = lane.calls()
    assert len(calls) <= WORKERS * 3 * 2 * most_fetches(calls[-1].at - calls[0].at)
    for answer in lane.wait_for_banner("three"):
        assert answer["epochs"] == sorted(answer["epochs"])
        assert list(dict.fromkeys(answer["banners"])) == answer["banners"]
    assert lane.lines(0) == []


def test_identities_get_the_environments_flags_while_their_calls_fail(lanes: Lanes) -> None:
    lane = lanes["identities"]
    flagsmith = lane.flagsmith
    flagsmith.truth.edit(override_ada)
    flagsmith.identities.always(answers.status(500))
    lane.wait_for_banner(BEFORE, "/identity")
    lane.lines(WORKERS)
    flagsmith.identities.always(answers.truth)
    lane.wait_for_banner("Hello, Ada", "/identity")
    calls = flagsmith.identities.times()
    assert len(calls) <= WORKERS * most_fetches(calls[-1] - calls[0])
    assert len(lane.lines(WORKERS)) == WORKERS
    assert len(lines(lanes.server, "answers for identities again", WORKERS)) == WORKERS
    assert "Traceback" not in lanes.server.output


def override_ada(document: dict[str, Any]) -> None:
    state = next(s for s in document["feature_states"] if s["feature"]["name"] == "banner_text")
    override = {**state, "feature_state_value": "Hello, Ada"}
    document["identity_overrides"].append({"identifier": "ada", "identity_features": [override]})
