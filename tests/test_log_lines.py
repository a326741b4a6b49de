"""The log: every line carries its event, and the documentation explains them all.

The extraction from the code is that of the documentation (``docs/_ext/flagsmith_log_lines.py``).
"""

from __future__ import annotations

import importlib.util
import logging
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flask_flagsmith_realtime import flags_changed
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.logs import OncePerCause, SafeLogger
from tests.support.apps import MakeApp, Received
from tests.support.paths import DOCS
from tests.support.waiting import eventually

MODULE = """
_once = OncePerCause(logger, "thread", "")
logger.warning("%s is not known.", name, extra=logs.fields("name_unknown", name=name))

class Fetch:
    def __init__(self):
        self._problem = logs.OncePerCause(logger, "fetch", "Works again.")

    def failed(self, error):
        self._problem.problem(f"Failed: {error}.")
        _once.problem("No thread.")
        logger.debug("no event")
"""


@pytest.fixture(scope="module")
def extension() -> ModuleType:
    """The Sphinx extension that extracts the log lines."""
    path = DOCS / "_ext" / "flagsmith_log_lines.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_line_carries_an_event(extension: ModuleType) -> None:
    lines = extension.log_lines()
    assert len(lines) > 20
    assert [line.place for line in lines if not line.event] == []


def test_every_event_is_documented_once_in_order(extension: ModuleType) -> None:
    page = DOCS.joinpath("troubleshooting.rst").read_text()
    documented = re.findall(r"^\.\. flagsmith-log-line:: (\w+)$", page, re.MULTILINE)
    assert documented == sorted({line.event for line in extension.log_lines()})


def test_lines_are_extracted_from_code(extension: ModuleType, tmp_path: Path) -> None:
    tmp_path.joinpath("fetch.py").write_text(MODULE)
    lines = [(x.event, x.level, x.attributes, x.text) for x in extension.log_lines(tmp_path)]
    assert lines == [
        ("", "DEBUG", (), "no event"),
        ("fetch_recovered", "WARNING", (), "Works again."),
        ("fetch_trouble", "WARNING", (), "Failed: …."),
        ("name_unknown", "WARNING", ("name",), "… is not known."),
        ("thread_trouble", "WARNING", (), "No thread."),
    ]


def test_record_of_a_change(make_app: MakeApp, emulator: Emulator, caplog: Any) -> None:
    app = make_app()
    changed = Received(flags_changed, app)
    assert emulator.wait_for_streams(1)
    with caplog.at_level(logging.INFO, "flask_flagsmith_realtime"):
        epoch = emulator.set_flag("banner_text", value="new")
        changed.wait()
        # A change is logged after it is sent.
        eventually(lambda: "Flags changed" in caplog.text)
    (record,) = [r for r in caplog.records if r.name == "flask_flagsmith_realtime.engine.publisher"]
    assert record.getMessage() == "Flags changed: banner_text."
    assert record.flagsmith_event == "flags_changed"
    assert record.flagsmith_features == ["banner_text"]
    assert abs(record.flagsmith_epoch - epoch) < 1e-6


def test_records_of_an_episode(caplog: Any) -> None:
    logger = SafeLogger(logging.getLogger("flask_flagsmith_realtime.engine.listener"))
    episode = OncePerCause(logger, "fetch", "Better.")
    for message in ("Bad.", "Bad.", "Worse."):
        episode.problem(message)
    episode.recovered()
    episode.recovered()
    assert [(record.flagsmith_event, record.getMessage()) for record in caplog.records] == [
        ("fetch_trouble", "Bad."),
        ("fetch_trouble", "Worse."),
        ("fetch_recovered", "Better."),
    ]
