"""Each integration names what to install, and is imported only if the app imports it."""

from __future__ import annotations

import configparser
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

#: The modules of the packages that integrations need.
NEEDED = {
    "openfeature": "openfeature",
    "opentelemetry": "opentelemetry",
    "prometheus": "prometheus_client",
    "sentry": "sentry_sdk",
    "debugtoolbar": "flask_debugtoolbar",
}
PROGRAM = """
import importlib, sys
import flask_flagsmith_realtime, flask_flagsmith_realtime.integrations
needed = {needed}
assert not {{module.partition(".")[0] for module in sys.modules}} & set(needed.values())
for name, module in needed.items():
    sys.modules[module] = None
    try:
        importlib.import_module("flask_flagsmith_realtime.integrations." + name)
    except ModuleNotFoundError as error:
        print(error)
"""


@pytest.mark.slow
def test_missing_packages_are_named() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    program = PROGRAM.format(needed=NEEDED)
    lines = subprocess.check_output([sys.executable, "-c", program], text=True).splitlines()
    assert len(lines) == len(NEEDED)
    for line, name in zip(lines, NEEDED, strict=True):
        [requirement] = setup["options.extras_require"][name].split("\n")[1:]
        assert f"needs {requirement} (" in line
        assert f"pip install 'flask-flagsmith-realtime[{name}]'" in line
