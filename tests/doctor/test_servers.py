"""The doctor's checks of the server's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from flask_flagsmith_realtime.doctor import servers as server_setup
from flask_flagsmith_realtime.doctor.findings import Finding


def setup(directory: Path, **environ: str) -> list[tuple[str, str]]:
    found = server_setup.examine(directory, environ, shares_a_stream=False)
    return [(finding.level.value, finding.message) for finding in found]


def only(found: list[Finding]) -> Finding:
    (finding,) = found
    return finding


def test_without_a_servers_files_there_is_nothing_to_say(tmp_path: Path) -> None:
    ((level, message),) = setup(tmp_path)
    assert level == "ok"
    assert "nothing to check" in message


def test_gunicorns_file_is_read_and_not_run(tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(
        "import os\nworkers = 4\nbind = os.environ['PORT']\npreload_app = True\n1 / 0\n"
    )
    ((level, message),) = setup(tmp_path)
    assert level == "ok"
    assert message.startswith("Gunicorn, 4 workers of class sync, preloaded")


def test_gunicorns_arguments_count_more_than_its_file(tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("worker_class = 'sync'\n")
    arguments = "--worker-class=eventlet -w 3 --bind :80"
    ((level, message),) = setup(tmp_path, GUNICORN_CMD_ARGS=arguments)
    assert level == "warning"
    assert "3 workers of class eventlet" in message


@pytest.mark.parametrize("text", ["workers = ", "workers = os.cpu_count()", ""])
def test_odd_gunicorn_files_are_no_obstacle(tmp_path: Path, text: str) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(text)
    assert setup(tmp_path)[0][1].startswith(("Gunicorn, ", "gunicorn.conf.py"))


def test_several_workers_are_told_of_redis() -> None:
    alone = only(server_setup.diagnose_gunicorn("workers = 4", "", shares_a_stream=False))
    assert "4 calls of the API. FLAGSMITH_REDIS_URL" in (alone.advice or "")
    assert (
        only(server_setup.diagnose_gunicorn("workers = 4", "", shares_a_stream=True)).advice is None
    )
    assert only(server_setup.diagnose_gunicorn("", "", shares_a_stream=False)).advice is None


@pytest.mark.parametrize(
    ("settings", "level", "words"),
    [
        ("master = true", "failed", "without Python's threads"),
        ("enable-threads = false\nmaster = true", "failed", "without Python's threads"),
        ("enable-threads\nmaster = true\nprocesses = 2", "ok", "uWSGI, 2 workers with threads"),
        ("threads = 4\nmaster = 1\nplugin = a\nplugin = b", "ok", "uWSGI, 1 worker with threads"),
        ("enable-threads = true", "warning", "without a master process"),
        ("enable-threads = true\nlazy-apps = true", "ok", "uWSGI"),
        ("no-section]", "failed", "threads"),
    ],
)
def test_uwsgis_file_is_judged(tmp_path: Path, settings: str, level: str, words: str) -> None:
    (tmp_path / "uwsgi.ini").write_text(f"[uwsgi]\nmodule = app:app\n{settings}\n")
    ((found, message),) = setup(tmp_path)
    assert found == level
    assert words in message


def test_files_that_cannot_be_read_are_a_warning(tmp_path: Path) -> None:
    (tmp_path / "uwsgi.ini").write_bytes(b"\xff\xfe")
    assert setup(tmp_path)[0][0] == "warning"
    (tmp_path / "uwsgi.ini").write_text("module = app:app\n")
    assert setup(tmp_path)[0][0] == "warning"
