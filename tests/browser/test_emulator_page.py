"""The emulator's page in a real browser, with scripts and without."""

from __future__ import annotations

from playwright.sync_api import Page, Route, expect

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.browsers import Open
from tests.support.waiting import eventually


def switch(page: Page, name: str) -> None:
    page.get_by_role("switch", name=name, exact=True).click()


def test_a_switch_and_a_value(emulator: Emulator, open_page: Open) -> None:
    page = open_page(emulator.url)
    switch(page, "new_checkout")
    expect(page.locator("#changes")).to_contain_text("new_checkout: on")

    field = page.get_by_label("Value of banner_text", exact=True)
    field.fill("Half price")
    field.press("Enter")
    expect(page.locator("#changes")).to_contain_text('banner_text: "Half price"')
    states = {state["feature"]["name"]: state for state in emulator.document["feature_states"]}
    assert states["new_checkout"]["enabled"] is True
    assert states["banner_text"]["feature_state_value"] == "Half price"


def test_an_open_page_follows_changes_made_elsewhere(emulator: Emulator, open_page: Open) -> None:
    page = open_page(emulator.url)
    expect(page.get_by_role("switch", name="new_checkout", exact=True)).not_to_be_checked()
    emulator.set_flag("new_checkout", enabled=True)
    emulator.set_flag("added", value="later")
    emulator.delete_flag("free_delivery")

    expect(page.get_by_role("switch", name="new_checkout", exact=True)).to_be_checked()
    expect(page.get_by_label("Value of added", exact=True)).to_have_value("later")
    expect(page.get_by_role("switch", name="free_delivery", exact=True)).to_have_count(0)


def test_an_answer_that_comes_late_brings_no_older_state_back(
    emulator: Emulator, open_page: Open
) -> None:
    page = open_page(emulator.url)
    polls: list[Route] = []
    page.route(emulator.url, lambda route: polls.append(route))
    emulator.set_flag("banner_text", value="from elsewhere")
    eventually(lambda: page.wait_for_timeout(20) or polls)
    late = polls[0].fetch()
    # From here on, no further poll corrects it.
    page.route("**/version", lambda _: None)
    switch(page, "new_checkout")
    expect(page.locator("#changes")).to_contain_text("new_checkout: on")
    for poll in polls:
        poll.fulfill(response=late)
    page.evaluate("fetch('/static/flag.svg').then((answer) => answer.text())")
    expect(page.locator("#changes")).to_contain_text("new_checkout: on")
    expect(page.get_by_role("switch", name="new_checkout", exact=True)).to_be_checked()


def test_unsaved_input_is_kept(emulator: Emulator, open_page: Open) -> None:
    page = open_page(emulator.url)
    field = page.get_by_label("Value of banner_text", exact=True)
    field.press("End")
    field.press_sequentially("!")
    emulator.set_flag("banner_text", value="from elsewhere")
    expect(page.locator("#changes")).to_contain_text("from elsewhere")
    expect(field).to_have_value("Welcome to the tea shop!")

    field.press("Escape")
    switch(page, "new_checkout")
    expect(field).to_have_value("from elsewhere")


def test_a_refused_edit_is_reported_and_undone(emulator: Emulator, open_page: Open) -> None:
    page = open_page(emulator.url)
    emulator.delete_flag("beta_dashboard")
    expect(page.locator("#features")).not_to_contain_text("beta_dashboard")
    page.get_by_label("More about button_colour").click()
    page.get_by_label("Percentage of variant 1").fill("90")
    page.get_by_role("button", name="Save variants").and_(page.locator(":visible")).click()

    expect(page.get_by_role("alert").first).to_contain_text("not more together")
    expect(page.get_by_label("Percentage of variant 1")).to_have_value("90")
    page.get_by_label("Percentage of variant 1").fill("40")
    page.get_by_role("button", name="Save variants").and_(page.locator(":visible")).click()
    expect(page.locator("#features")).to_contain_text("40 %")
    expect(page.locator("#problem")).to_be_empty()


def test_the_page_reports_an_outage_and_follows_again(emulator: Emulator, open_page: Open) -> None:
    page = open_page(emulator.url)
    emulator.stop()
    expect(page.locator("#gone")).to_be_visible()
    emulator.set_flag("new_checkout", enabled=True)
    emulator.start()

    expect(page.locator("#gone")).to_be_hidden()
    expect(page.get_by_role("switch", name="new_checkout", exact=True)).to_be_checked()


def test_the_page_works_without_scripts(emulator: Emulator, open_page: Open) -> None:
    page = open_page(emulator.url, java_script_enabled=False)
    switch(page, "new_checkout")
    expect(page.get_by_role("switch", name="new_checkout", exact=True)).to_be_checked()

    pricing = page.locator("form.value", has=page.get_by_label("Value of pricing", exact=True))
    pricing.get_by_role("textbox").fill('{\n  "mug": 1\n}')
    pricing.get_by_role("button", name="Save").click()
    expect(page.get_by_label("Value of pricing", exact=True)).to_have_value('{\n  "mug": 1\n}')
    assert page.url == emulator.url + "#feature-3"


def test_the_page_fits_a_phone(emulator: Emulator, open_page: Open) -> None:
    page = open_page(emulator.url, viewport={"width": 360, "height": 740})
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")

    assert page.evaluate("document.documentElement.scrollWidth") == 360
