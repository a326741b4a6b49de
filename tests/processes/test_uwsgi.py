"""uWSGI, which forks without calling Python's fork handlers."""

from __future__ import annotations

import pytest

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.servers import Serve, uwsgi

WORKERS = 2
PROCESSES = ("--processes", str(WORKERS))


@pytest.mark.parametrize("lazy", [[], ["--lazy-apps"]], ids=["", "lazy-apps"])
@pytest.mark.parametrize(
    "threads", [[], ["--enable-threads"], ["--threads", "2"]], ids=["", "enabled", "2"]
)
def test_every_worker_follows(
    serve: Serve, emulator: Emulator, lazy: list[str], threads: list[str]
) -> None:
    emulator.set_flag("banner_text", value="before")
    server = serve(uwsgi(*PROCESSES, *lazy, *threads))
    server.wait_for_all(WORKERS, lambda answer: answer["banner"] == "before")
    assert emulator.wait_for_streams(WORKERS)
    assert "without Python threads" not in server.output
    emulator.set_flag("banner_text", value="after")
    server.wait_for_all(WORKERS, lambda answer: answer["banner"] == "after")
    server.wait_for_all(WORKERS, lambda answer: answer["changes"] == 1, path="/no-flags")
    server.stop()
    assert "Traceback" not in server.output, server.output
    assert emulator.wait_for_streams(0)


def test_workers_follow_before_they_read_a_flag(serve: Serve, emulator: Emulator) -> None:
    server = serve(uwsgi(*PROCESSES))
    assert emulator.wait_for_streams(WORKERS), server.output
    emulator.set_flag("banner_text", value="after")
    server.wait_for_all(WORKERS, lambda answer: answer["changes"] == 1, path="/no-flags")
