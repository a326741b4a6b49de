"""Starting while Flagsmith cannot be reached: defaults are served, or the flags of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.lanes import BEFORE, PLAIN, WORKERS, Lanes, MakeLanes, lines, most_fetches
from tests.support.misbehaving import MisbehavingFlagsmith, answers
from tests.support.waiting import eventually

SHORT_TIMEOUTS: dict[str, Any] = {"STARTUP_TIMEOUT_SECONDS": 0.3, "REQUEST_TIMEOUT_SECONDS": 5.0}
REMOTE = {"ENVIRONMENT_KEY": MisbehavingFlagsmith.client_side_key}

SETTINGS: dict[str, dict[str, Any]] = {
    "down": SHORT_TIMEOUTS,
    "down-remote": SHORT_TIMEOUTS | REMOTE,
    "hanging": SHORT_TIMEOUTS,
    "hanging-remote": SHORT_TIMEOUTS | REMOTE,
    "forbidding": {"STARTUP_TIMEOUT_SECONDS": 0.3},
}


@pytest.fixture(scope="module")
def after_faults(make_lanes: MakeLanes) -> Lanes:
    """Lanes whose Flagsmiths failed when their apps started, and now work."""
    lanes = make_lanes(*SETTINGS)
    for name, lane in lanes.items():
        lane.flagsmith.stream.always(PLAIN)
        if name.startswith("down"):
            lane.flagsmith.api_server.refuse()
            lane.flagsmith.stream_server.refuse()
        answer = answers.forbid if name == "forbidding" else answers.hang
        lane.flagsmith.environment_document.always(answer)
        lane.flagsmith.flags.always(answer)
    lanes.serve(SETTINGS)
    for lane in lanes.values():
        lane.wait_for_banner("default")
        lines(lanes.server, f"{lane.flagsmith.api_url}.*defaults serve", WORKERS)
    for name, lane in lanes.items():
        lane.flagsmith.environment_document.always(answers.truth)
        lane.flagsmith.flags.always(answers.truth)
        if name.startswith("down"):
            lane.flagsmith.api_server.listen()
            lane.flagsmith.stream_server.listen()
    return lanes


@pytest.mark.parametrize("name", SETTINGS)
def test_defaults_are_served_until_flagsmith_answers(after_faults: Lanes, name: str) -> None:
    lane = after_faults[name]
    flagsmith = lane.flagsmith
    lane.wait_for_banner(BEFORE)
    calls = flagsmith.calls
    assert len(calls) <= WORKERS * (1 + most_fetches(calls[-1].at - calls[0].at))
    logged = [line for line in lane.lines(WORKERS) if "Until it answers, defaults serve" in line]
    assert len(logged) == WORKERS, logged
    flagsmith.wait_for_streams(WORKERS)
    flagsmith.change("banner_text", value="after")
    lane.wait_for_banner("after")


def test_recoveries_are_logged_once(after_faults: Lanes) -> None:
    expected = WORKERS * len(SETTINGS)
    logged = lines(after_faults.server, "Flagsmith's API answers again", expected)
    assert len(logged) == expected
    assert "Traceback" not in after_faults.server.output


@pytest.mark.parametrize("settings", [{}, REMOTE], ids=["local", "remote"])
def test_the_last_good_flags_are_served_from_a_file(
    make_lanes: MakeLanes, tmp_path: Path, settings: dict[str, str]
) -> None:
    lanes = make_lanes("filed")
    lane = lanes["filed"]
    flagsmith = lane.flagsmith
    flagsmith.stream.always(PLAIN)
    file = tmp_path / "flags.json"
    filed = {"filed": {**SHORT_TIMEOUTS, **settings, "SNAPSHOT_FILE": str(file)}}
    lanes.serve(filed)
    lane.wait_until_idle()
    flagsmith.change("banner_text", value="last good")
    lane.wait_for_banner("last good")
    eventually(lambda: b"last good" in file.read_bytes())
    assert lanes.server.stop() == 0
    flagsmith.api_server.refuse()
    flagsmith.stream_server.refuse()
    flagsmith.change("banner_text", value="after")
    lanes.serve(filed)
    lane.wait_for_banner("last good")
    logged = lane.lines(2 * WORKERS)
    assert sum("the last good flags go on serving" in line for line in logged) == WORKERS, logged
    flagsmith.api_server.listen()
    flagsmith.stream_server.listen()
    lane.wait_for_banner("after")
    assert "Traceback" not in lanes.server.output
