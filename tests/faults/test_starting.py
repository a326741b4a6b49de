"""Starting while Flagsmith cannot be reached: defaults serve, or a file's last good flags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.lanes import BEFORE, PLAIN, WORKERS, Lanes, MakeLanes, lines, most_tries
from tests.support.misbehaving import MisbehavingFlagsmith, answers

HASTY: dict[str, Any] = {"STARTUP_TIMEOUT_SECONDS": 0.3, "REQUEST_TIMEOUT_SECONDS": 1.0}
REMOTE = {"ENVIRONMENT_KEY": MisbehavingFlagsmith.client_side_key}

SETTINGS: dict[str, dict[str, Any]] = {
    "down": HASTY,
    "down-remote": HASTY | REMOTE,
    "hanging": HASTY,
    "hanging-remote": HASTY | REMOTE,
    "forbidding": {"STARTUP_TIMEOUT_SECONDS": 0.3},
}


@pytest.fixture(scope="module")
def outlived(make_lanes: MakeLanes) -> Lanes:
    """Flagsmiths that could not be reached when their apps started, and now can."""
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
        lane.wait_until_it_shows("default")
        lane.lines(WORKERS)
    for name, lane in lanes.items():
        lane.flagsmith.environment_document.always(answers.truth)
        lane.flagsmith.flags.always(answers.truth)
        if name.startswith("down"):
            lane.flagsmith.api_server.listen()
            lane.flagsmith.stream_server.listen()
    return lanes


@pytest.mark.parametrize("name", SETTINGS)
def test_defaults_serve_until_flagsmith_answers(outlived: Lanes, name: str) -> None:
    lane = outlived[name]
    flagsmith = lane.flagsmith
    lane.wait_until_it_shows(BEFORE)
    calls = flagsmith.calls
    assert len(calls) <= WORKERS * (1 + most_tries(calls[-1].at - calls[0].at))
    said = [line for line in lane.lines(WORKERS) if "Until it answers, defaults serve" in line]
    assert len(said) == WORKERS, said
    flagsmith.wait_for_streams(WORKERS, timeout=30)
    flagsmith.change("banner_text", value="after")
    lane.wait_until_it_shows("after")


def test_recoveries_are_said_once(outlived: Lanes) -> None:
    expected = WORKERS * len(SETTINGS)
    said = lines(outlived.server, "Flagsmith's API answers again", expected)
    assert len(said) == expected
    assert "Traceback" not in outlived.server.output


@pytest.mark.parametrize("settings", [{}, REMOTE], ids=["local", "remote"])
def test_the_last_good_flags_serve_from_a_file(
    make_lanes: MakeLanes, tmp_path: Path, settings: dict[str, str]
) -> None:
    lanes = make_lanes("filed")
    lane = lanes["filed"]
    flagsmith = lane.flagsmith
    flagsmith.stream.always(PLAIN)
    filed = {"filed": {**HASTY, **settings, "SNAPSHOT_FILE": str(tmp_path / "flags.json")}}
    lanes.serve(filed)
    lane.wait_until_it_rests()
    flagsmith.change("banner_text", value="last good")
    lane.wait_until_it_shows("last good")
    assert lanes.server.stop() == 0
    flagsmith.api_server.refuse()
    flagsmith.stream_server.refuse()
    flagsmith.change("banner_text", value="after")
    lanes.serve(filed)
    lane.wait_until_it_shows("last good")
    said = lane.lines(2 * WORKERS)
    assert sum("the last good flags go on serving" in line for line in said) == WORKERS, said
    flagsmith.api_server.listen()
    flagsmith.stream_server.listen()
    lane.wait_until_it_shows("after")
    assert "Traceback" not in lanes.server.output
