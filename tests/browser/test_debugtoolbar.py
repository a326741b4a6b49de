"""The panel of Flask-DebugToolbar, in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask_debugtoolbar import DebugToolbarExtension
from playwright.sync_api import expect

from flask_flagsmith_realtime import FlagsmithRealtime, Identity, flags
from flask_flagsmith_realtime.emulator import Emulator
from tests.support.apps import MakeApp
from tests.support.browsers import Open
from tests.support.serving import serving
from tests.support.waiting import eventually

PANEL = "flask_flagsmith_realtime.integrations.debugtoolbar.FlagsPanel"


@pytest.fixture
def url(make_app: MakeApp, emulator: Emulator) -> Iterator[str]:
    """Serves an app with the toolbar."""
    emulator.set_flag("banner_text", enabled=True, value="<b>Hello</b>")
    flagsmith = FlagsmithRealtime()
    flagsmith.identity_loader(lambda: Identity("ada", {"plan": "pro"}))
    app = make_app(flagsmith)
    app.debug = True
    app.config.update(SECRET_KEY="x", DEBUG_TB_PANELS=[PANEL])
    DebugToolbarExtension(app)

    @app.get("/")
    def home() -> str:
        flags.get_feature_value("banner_text")
        flags.is_feature_enabled("no_such_feature", default=True)
        return "<html><body>Hello</body></html>"

    bare = Flask("bare")
    bare.debug = True
    bare.config.update(SECRET_KEY="x", DEBUG_TB_PANELS=[PANEL])
    DebugToolbarExtension(bare)
    bare.add_url_rule("/", view_func=lambda: "<html><body>Hello</body></html>")
    assert "no flags in this app" in bare.test_client().get("/").text

    # The page shows the state in which it was rendered.
    flagsmith.start(app)
    eventually(lambda: flagsmith.status.state == "live")
    with serving(app) as served:
        yield served


def test_panel_shows_what_the_request_has_read(url: str, open_page: Open) -> None:
    page: Any = open_page(url)
    tab = page.locator("#flDebugFlagsmithPanel")
    expect(tab).to_contain_text("2 read, live")
    tab.locator("a").click()
    panel = page.locator("#flDebugFlagsmithPanel-content")
    rows = panel.locator("table").nth(1).locator("tbody tr")
    expect(rows).to_have_count(2)
    # The value is shown as text.
    expect(rows.nth(0)).to_contain_text("<b>Hello</b>")
    expect(rows.nth(0)).to_contain_text("ada {'plan': 'pro'}")
    expect(rows.nth(1)).to_contain_text("DEFAULT_OF_CALL")
    expect(panel.locator("table").nth(0)).to_contain_text("live")
