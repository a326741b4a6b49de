"""The public names as a type checker sees them: the lines in ``tests/types``, run through mypy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

import flask_flagsmith_realtime
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

FILES = sorted((ROOT / "tests" / "types").glob("*.py"))

_EXPECTED = re.compile(r"# => (.+?)(?:  #|$)")
_REPORT = re.compile(r"^(?P<file>[^:]+):(?P<line>\d+): (?P<kind>\w+): (?P<text>.+)$")
_REVEALED = re.compile(r'^Revealed type is "(.+)"$')
_UNION = re.compile(r"Union\[([^][]+)\]")
_CODE = re.compile(r"\[([\w-]+)\]$")

Reports = dict[int, list[str]]


@pytest.fixture(scope="module")
def reports() -> dict[str, Reports]:
    """The reports of mypy by file and line, from one run over all files."""
    # In a process of its own: mypy changes the garbage collector and the recursion limit.
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", *map(os.fspath, FILES)),
            f"--config-file={ROOT / 'setup.cfg'}",
            f"--cache-dir={ROOT / '.mypy_cache'}",
            "--no-error-summary",
            "--no-pretty",
        ],
        capture_output=True,
        text=True,
    )
    output = ran.stdout
    assert not ran.stderr
    found: dict[str, Reports] = defaultdict(lambda: defaultdict(list))
    for report in map(_REPORT.match, output.splitlines()):
        assert report is not None, output
        revealed = _REVEALED.match(report["text"])
        code = _CODE.search(report["text"])
        if revealed is not None:
            # Older versions of mypy write unions and builtins in full.
            text = _UNION.sub(lambda union: union[1].replace(", ", " | "), revealed[1])
            text = text.replace("builtins.", "")
        elif report["kind"] == "error" and code is not None:
            text = f"error: {code[1]}"
        else:
            continue
        found[Path(report["file"]).name][int(report["line"])].append(text)
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_types(file: Path, reports: dict[str, Reports]) -> None:
    expected = {
        number: [match[1]]
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if (match := _EXPECTED.search(line))
    }
    assert expected
    assert dict(reports[file.name]) == expected


def test_the_package_is_marked_as_typed() -> None:
    assert Path(flask_flagsmith_realtime.__file__).with_name("py.typed").is_file()


def test_every_public_name_is_in_a_file() -> None:
    text = "\n".join(file.read_text() for file in FILES)
    missing = [
        name for name in flask_flagsmith_realtime.__all__ if not re.search(rf"\b{name}\b", text)
    ]
    assert not missing
