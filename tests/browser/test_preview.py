"""Previews: the link, the page and the badge, in Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask, render_template_string, session
from playwright.sync_api import Page, expect

from flask_flagsmith_realtime import FlagsmithRealtime
from flask_flagsmith_realtime.emulator import Emulator
from tests.support.apps import MakeApp
from tests.support.browsers import Open
from tests.support.serving import serving

HTML = """\
<!doctype html>
<link rel="icon" href="data:,">
<body>
<p id="checkout">{{ "new" if flags.new_checkout else "old" }}</p>
<p id="banner">{{ flags.banner_text.value }}</p>
</body>
"""


@pytest.fixture
def url(make_app: MakeApp, emulator: Emulator) -> Iterator[str]:
    """Serves an app whose staff may preview."""
    flagsmith = FlagsmithRealtime()
    app: Flask = make_app(flagsmith)
    app.secret_key = "a secret"
    app.register_blueprint(flagsmith.preview)
    flagsmith.preview_allowed(lambda: session.get("staff"))
    app.add_url_rule("/", view_func=lambda: render_template_string(HTML))

    @app.get("/login")
    def login() -> str:
        session["staff"] = True
        return render_template_string(HTML)

    with serving(app) as served:
        yield served


@pytest.fixture
def staff(url: str, open_page: Open) -> Page:
    """The browser of an allowed visitor."""
    return open_page(f"{url}login")


def expect_shop(page: Page, checkout: str, banner: str = "Welcome to the tea shop") -> None:
    expect(page.locator("#checkout")).to_have_text(checkout)
    expect(page.locator("#banner")).to_have_text(banner)


def test_a_link_switches_a_feature_in_this_browser_until_it_is_cleared(
    url: str, staff: Page, open_page: Open
) -> None:
    expect_shop(staff, "old")
    staff.goto(f"{url}?flagsmith.new_checkout=on")
    staff.goto(url)
    expect_shop(staff, "new")
    badge = staff.get_by_role("status")
    expect(badge).to_be_in_viewport()
    expect(badge).to_contain_text("Preview: new_checkout")

    for path in ("", "?flagsmith.new_checkout=on"):
        visitor = open_page(f"{url}{path}")
        expect_shop(visitor, "old")
        expect(visitor.get_by_role("status")).to_have_count(0)

    badge.get_by_role("link").click()
    staff.get_by_role("button", name="Clear all").click()
    expect(staff.get_by_role("listitem").filter(has_text="(preview)")).to_have_count(0)
    staff.goto(url)
    expect_shop(staff, "old")
    expect(badge).to_have_count(0)


def test_the_page_sets_and_resets_features(url: str, staff: Page, open_page: Open) -> None:
    staff.goto(f"{url}flagsmith/preview/")
    staff.get_by_role("button", name="new_checkout on").click()
    expect(staff.get_by_role("button", name="Reset new_checkout")).to_be_visible()
    staff.get_by_role("textbox", name="Value of banner_text").fill("<b>Hello</b>")
    staff.keyboard.press("Enter")
    expect(staff.get_by_role("listitem").filter(has_text="banner_text")).to_contain_text(
        "on, <b>Hello</b> (preview)"
    )
    staff.goto(url)
    expect_shop(staff, "new", "<b>Hello</b>")
    expect(staff.get_by_role("status")).to_contain_text("banner_text, new_checkout")
    expect_shop(open_page(url), "old")

    staff.go_back()
    staff.get_by_role("button", name="Reset banner_text").click()
    expect(staff.get_by_role("button", name="Reset banner_text")).to_have_count(0)
    staff.goto(url)
    expect_shop(staff, "new")


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_into_the_window(
    url: str, staff: Page, emulator: Emulator, width: int
) -> None:
    emulator.set_flag("banner_text", value="x" * 500)
    staff.set_viewport_size({"width": width, "height": 800})
    staff.goto(f"{url}flagsmith/preview/?flagsmith.new_checkout=on")
    expect(staff.get_by_role("button", name="Reset new_checkout")).to_be_visible()
    assert staff.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for button in staff.get_by_role("button").all():
        box = button.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= width
