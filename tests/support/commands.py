"""Commands of an app in this process."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

from click.testing import CliRunner, Result
from flask import Flask

COLUMNS = 80
#: Before click 8.2, a runner separates standard error only on request.
APART: dict[str, Any] = (
    {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}
)
MakeCommandApp = Callable[..., Flask]


def run(app: Flask, *arguments: str) -> Result:
    return app.test_cli_runner(**APART).invoke(args=["flagsmith", *arguments])
