"""The log: every line carries its event, and the documentation lists them all."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import flask_flagsmith_realtime
from flask_flagsmith_realtime import flags_changed
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.logs import OncePerCause
from tests.support.apps import MakeApp, Received
from tests.support.paths import DOCS

PACKAGE = Path(flask_flagsmith_realtime.__file__).parent
PAGE = DOCS / "health.rst"

LEVELS = {
    "debug": "DEBUG",
    "info": "INFO",
    "warning": "WARNING",
    "error": "ERROR",
    "exception": "ERROR",
}


class Line(NamedTuple):
    """A kind of line."""

    event: str
    logger: str
    level: str
    facts: frozenset[str]


def modules() -> list[Path]:
    """The modules that run in an app."""
    return [path for path in PACKAGE.rglob("*.py") if "emulator" not in path.parts]


def lines_of(module: Path) -> Iterator[Line]:
    """The lines that a module logs."""
    logger = ".".join(module.relative_to(PACKAGE).with_suffix("").parts)
    for node in ast.walk(ast.parse(module.read_text())):
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case ast.Attribute(ast.Name("logger"), method) if method in LEVELS:
                where = f"{module.name}:{node.lineno}"
                event, facts = facts_of(node) or (f"nothing, at {where}", frozenset())
                yield Line(event, logger, LEVELS[method], facts)
            case ast.Name("OncePerCause"):
                _, what, recovered = node.args
                assert isinstance(what, ast.Constant)
                yield Line(f"{what.value}_trouble", logger, "WARNING", frozenset())
                if not (isinstance(recovered, ast.Constant) and recovered.value == ""):
                    yield Line(f"{what.value}_recovered", logger, "WARNING", frozenset())


def facts_of(call: ast.Call) -> tuple[str, frozenset[str]] | None:
    """What a call has as ``extra=logs.fields(…)``."""
    for keyword in call.keywords:
        match keyword:
            case ast.keyword("extra", ast.Call(ast.Attribute(ast.Name("logs"), "fields"), [event])):
                assert isinstance(event, ast.Constant)
                named = keyword.value.keywords  # type: ignore[attr-defined]
                return event.value, frozenset(str(fact.arg) for fact in named)
    return None


def documented_lines() -> set[Line]:
    rows = re.findall(
        r"^   \* - ``(\w+)``\n     - ``([\w.]+)``\n     - ([A-Z]+)\n((?:     .*\n?)+)",
        PAGE.read_text(),
        re.MULTILINE,
    )
    return {
        Line(event, logger, level, frozenset(re.findall(r"``(\w+)``", rest.rpartition("-")[2])))
        for event, logger, level, rest in rows
    }


def test_every_line_is_documented_and_no_other() -> None:
    logged = {line for module in modules() for line in lines_of(module)}
    assert len(logged) > 20
    assert sorted(documented_lines() ^ logged) == []


def test_documentation_is_in_order() -> None:
    events = re.findall(r"^   \* - ``(\w+)``\n     - ``", PAGE.read_text(), re.MULTILINE)
    assert events == sorted(events)


def test_record_of_a_change(make_app: MakeApp, emulator: Emulator, caplog: Any) -> None:
    app = make_app()
    changed = Received(flags_changed, app)
    assert emulator.wait_for_streams(1)
    with caplog.at_level(logging.INFO, "flask_flagsmith_realtime"):
        epoch = emulator.set_flag("banner_text", value="new")
        changed.wait()
    (record,) = [r for r in caplog.records if r.name == "flask_flagsmith_realtime.engine.refresher"]
    assert record.getMessage() == "Flags changed: banner_text."
    assert record.flagsmith_event == "flags_changed"
    assert record.flagsmith_features == ["banner_text"]
    assert abs(record.flagsmith_epoch - epoch) < 1e-6


def test_records_of_an_episode(caplog: Any) -> None:
    episode = OncePerCause(
        logging.getLogger("flask_flagsmith_realtime.engine.refresher"), "fetch", "Better."
    )
    for message in ("Bad.", "Bad.", "Worse."):
        episode.problem(message)
    episode.recovered()
    episode.recovered()
    assert [(record.flagsmith_event, record.getMessage()) for record in caplog.records] == [
        ("fetch_trouble", "Bad."),
        ("fetch_trouble", "Worse."),
        ("fetch_recovered", "Better."),
    ]
