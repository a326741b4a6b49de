"""gunicorn: every worker follows every change, with each worker class and with preloading."""

from __future__ import annotations

import pytest

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.servers import Serve, gunicorn
from tests.support.waiting import eventually

WORKERS = 2


@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["", "preload"])
@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent"])
def test_every_worker_follows(
    serve: Serve, emulator: Emulator, worker: str, preload: list[str]
) -> None:
    emulator.set_flag("banner_text", value="before")
    server = serve(
        gunicorn("--workers", str(WORKERS), "--worker-class", worker, "--threads", "2", *preload)
    )
    server.wait_for_all(WORKERS, lambda answer: answer["banner"] == "before")
    # A preloading master does not listen.
    assert emulator.wait_for_streams(WORKERS)
    for changes, value in enumerate(("after", "once more"), 1):
        emulator.set_flag("banner_text", value=value)
        server.wait_for_all(WORKERS, lambda answer: answer["banner"] == value)  # noqa: B023
        # Changes that wait for their signal together are merged.
        server.wait_for_all(WORKERS, lambda answer: answer["changes"] == changes, "/no-flags")  # noqa: B023
    assert server.stop() == 0
    assert "Traceback" not in server.output, server.output
    assert emulator.wait_for_streams(0)


def test_a_preloading_master_forks_without_threads(serve: Serve, emulator: Emulator) -> None:
    # Python 3.12 and newer warn of forks while threads are running.
    server = serve(
        gunicorn("--workers", str(WORKERS), "--preload"),
        environment={"PYTHONWARNINGS": "always:This process:DeprecationWarning"},
    )
    assert emulator.wait_for_streams(WORKERS)
    answers = server.wait_for_all(WORKERS, lambda answer: bool(answer["banner"]))
    assert all("flagsmith-listener" in answer["threads"] for answer in answers.values())
    # The master has no stream and makes no call.
    assert emulator.streams_opened == WORKERS
    assert emulator.calls["environment-document/"] == WORKERS
    assert server.stop() == 0
    assert "multi-threaded" not in server.output


def test_workers_follow_after_their_master_was_patched_by_gevent(
    serve: Serve, emulator: Emulator
) -> None:
    emulator.set_flag("banner_text", value="before")
    server = serve(
        gunicorn(
            "--workers",
            str(WORKERS),
            "--worker-class",
            "gevent",
            "--preload",
            app="tests.processes.patched:app",
        )
    )
    # The master waits outside of gevent's loop, so its own engine may not run.
    server.wait_for_all(WORKERS, lambda answer: answer["banner"] == "before")
    emulator.set_flag("banner_text", value="after")
    server.wait_for_all(WORKERS, lambda answer: answer["banner"] == "after")
    server.wait_for_all(WORKERS, lambda answer: answer["changes"] == 1, path="/no-flags")
    assert server.stop() == 0
    assert "Traceback" not in server.output, server.output
    assert "could not be asked" not in server.output, server.output
    assert emulator.wait_for_streams(0)


def test_replaced_workers_follow(serve: Serve, emulator: Emulator) -> None:
    server = serve(gunicorn("--workers", "1", "--max-requests", "5", "--preload"))
    pids = set()
    for number in range(8):
        value = f"number {number}"
        emulator.set_flag("banner_text", value=value)
        eventually(lambda: server.get()["banner"] == value)  # noqa: B023
        pids.add(server.get()["pid"])
    assert len(pids) > 2
    assert "Traceback" not in server.output, server.output
