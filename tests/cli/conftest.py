"""Fixtures of the commands' tests."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from tests.support.apps import MakeApp
from tests.support.commands import MakeCommandApp


@pytest.fixture
def make_quiet(make_app: MakeApp) -> MakeCommandApp:
    """Makes apps as a command finds them: set up, with nothing started."""

    def make(**settings: Any) -> Flask:
        return make_app(AUTOSTART=False, **settings)

    return make
