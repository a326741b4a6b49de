"""1,000 connections leak no thread, no descriptor and no memory."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.misbehaving import RESET, SILENT, MisbehavingFlagsmith, Stream, answers
from tests.support.misbehaving.answers import Behaviour
from tests.support.waiting import PATIENCE_SECONDS

KINDS: list[Stream | Behaviour] = [
    Stream(lasts=0.0),
    Stream(lasts=0.0, chunked=False),
    Stream(lasts=0.0, gzipped=True),
    Stream(lasts=0.0, resets=True),
    Stream(lasts=0.0, greeting=None, opening=b"data: \xff\n\n"),
    Stream(lasts=0.0, ending=b"data: {"),
    answers.status(503),
    answers.html(200),
    answers.redirect("http://127.0.0.1:9/"),
    answers.vanish,
]
ROUNDS = 100

#: A hundredth of what 1,000 connections would leak if each leaked its session.
MOST_GROWTH_KIB = 1024


@pytest.mark.slow
def test_a_thousand_connections_leak_nothing() -> None:
    with MisbehavingFlagsmith() as flagsmith:
        flagsmith.stream.next(*KINDS * 30, SILENT, *KINDS * ROUNDS, SILENT)
        program = [sys.executable, "-m", "tests.faults.reconnecting"]
        with subprocess.Popen(
            [*program, json.dumps(flagsmith.config), flagsmith.client_side_key],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            measured: list[dict[str, int]] = []
            for rounds in (30, 30 + ROUNDS):
                rests = rounds * len(KINDS) + len(measured) + 1
                flagsmith.wait_for(
                    lambda: (
                        flagsmith.stream.count == rests  # noqa: B023
                        and flagsmith.stream_server.connections == flagsmith.open_streams == 1
                    ),
                    timeout=10 * PATIENCE_SECONDS,
                )
                print(file=process.stdin, flush=True)
                measured.append(json.loads(process.stdout.readline()))
                flagsmith.say(RESET)
    before, after = measured
    # The watchdog's thread ends when no call was made for a minute.
    assert after["threads"] <= before["threads"]
    assert after["descriptors"] == before["descriptors"]
    assert after["memory_kib"] - before["memory_kib"] < MOST_GROWTH_KIB, measured
