"""The example shop in a real browser: an open page follows changes on the emulator's page."""

from __future__ import annotations

import signal

import pytest
from playwright.sync_api import Page, expect

from tests.support.browsers import Demo, Open


def mark(page: Page) -> None:
    """Mark the page; a reload removes the mark."""
    page.evaluate("window.marked = true")


def is_marked(page: Page) -> bool:
    """Return whether the page has not been reloaded."""
    return bool(page.evaluate("window.marked === true"))


def be(page: Page, name: str) -> None:
    """Choose a visitor in the shop."""
    button = page.get_by_role("group", name="Shop as").get_by_role("button", name=name)
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")


def switch(page: Page, feature: str) -> None:
    """Switch a feature on the emulator's page."""
    page.get_by_role("switch", name=feature, exact=True).click()
    expect_sent(page)


def set_value(page: Page, feature: str, value: str) -> None:
    """Edit a feature's value on the emulator's page."""
    field = page.get_by_label(f"Value of {feature}", exact=True)
    field.fill(value)
    page.locator("form", has=field).get_by_role("button", name="Save").click()
    expect_sent(page)


def expect_sent(page: Page) -> None:
    """Wait until the emulator's page shows what was answered: until then, a switch shows its new
    state already, but would send the old one again."""
    expect(page.locator("form.sending")).to_have_count(0)


def test_an_open_shop_follows_a_switch_on_the_emulators_page(demo: Demo, open_page: Open) -> None:
    shop, emulator = open_page(demo.shop), open_page(demo.emulator)
    expect(shop.locator("#listening")).to_contain_text("Live")
    mark(shop)
    mug = shop.get_by_role("link", name="Stoneware mug")
    expect(mug).to_contain_text("Order by post")
    switch(emulator, "new_checkout")
    expect(mug).to_contain_text("Buy now")
    newest = shop.locator("#changes li").first
    expect(newest).to_contain_text("new_checkout")
    expect(newest.locator("del")).to_have_text("off")
    expect(newest.locator("ins")).to_have_text("on")
    switch(emulator, "new_checkout")
    expect(mug).to_contain_text("Order by post")
    assert is_marked(shop)


def test_an_open_shop_follows_values(demo: Demo, open_page: Open) -> None:
    shop, emulator = open_page(demo.shop), open_page(demo.emulator)
    mark(shop)
    set_value(emulator, "banner_text", "The <first> flush is here")
    expect(shop.locator("#banner")).to_have_text("The <first> flush is here")
    set_value(emulator, "pricing", '{"mug": 12.5, "teapot": 39}')
    expect(shop.locator("#price-mug")).to_have_text("€12.50")
    expect(shop.locator("#price-tea_tin")).to_have_text("sold out")
    newest = shop.locator("#changes li").first
    expect(newest).to_contain_text("mug 14 → 12.5")
    expect(newest).to_contain_text("tea_tin 9 → none")
    set_value(emulator, "pricing", "free for all")
    expect(shop.locator("#problem")).to_contain_text("pricing cannot be read")
    expect(shop.locator("#price-mug")).to_have_text("€14")
    set_value(emulator, "button_colour", "#ff6600")
    expect(shop.locator("#buy-mug")).to_have_attribute("style", "--button: #ff6600")
    assert is_marked(shop)


def test_a_change_for_some_visitors_is_shown_as_one(demo: Demo, open_page: Open) -> None:
    shop, emulator = open_page(demo.shop), open_page(demo.emulator)
    be(shop, "Ada")
    expect(shop.get_by_role("link", name="Diary")).to_be_visible()
    emulator.get_by_role("switch", name="beta_dashboard for pro_customers").click()
    expect(shop.get_by_role("link", name="Diary")).to_have_count(0)
    expect(shop.locator("#changes li").first).to_contain_text("differs for some visitors")


def test_each_person_gets_their_own_flags(demo: Demo, open_page: Open) -> None:
    shop = open_page(demo.shop)
    diary = shop.get_by_role("link", name="Diary")
    expect(diary).to_have_count(0)
    be(shop, "Ada")
    expect(diary).to_be_visible()
    expect(shop.locator("#segments")).to_contain_text("pro_customers")
    expect(shop.locator("#feature-beta_dashboard")).to_contain_text("segment pro_customers")
    be(shop, "Chloe")
    expect(shop.locator("#buy-mug")).to_contain_text("Buy now")
    expect(shop.locator("#feature-new_checkout")).to_contain_text("this visitor")
    be(shop, "Ben")
    expect(diary).to_have_count(0)
    expect(shop.locator("#buy-mug")).to_contain_text("Order by post")
    be(shop, "Anonymous")
    shop.reload()
    expect(shop.locator("#person-")).to_have_attribute("aria-pressed", "true")


def test_several_visitors_each_follow_their_own_variant(demo: Demo, open_page: Open) -> None:
    emulator = open_page(demo.emulator)
    visitors = {name: open_page(demo.shop) for name in ("Ada", "Ben", "Chloe")}
    for name, shop in visitors.items():
        be(shop, name)
    set_value(emulator, "banner_text", "Hello visitors")
    for shop in visitors.values():
        expect(shop.locator("#banner")).to_have_text("Hello visitors")
        row = shop.locator("#feature-button_colour")
        style = f"--button: {row.locator('.value').inner_text()}"
        expect(shop.locator("#buy-mug")).to_have_attribute("style", style)
        expect(row).to_contain_text("split")


def test_an_open_checkout_becomes_the_new_one_and_the_old_one(demo: Demo, open_page: Open) -> None:
    shop, emulator = open_page(f"{demo.shop}checkout/teapot"), open_page(demo.emulator)
    mark(shop)
    heading = shop.get_by_role("heading", level=1)
    expect(shop.locator("main")).to_contain_text("Order by post")
    switch(emulator, "new_checkout")
    expect(shop.locator("main")).to_contain_text("New checkout")
    expect(heading).to_have_text("Cast-iron teapot")
    switch(emulator, "new_checkout")
    expect(shop.locator("main")).to_contain_text("Order by post")
    assert is_marked(shop)
    switch(emulator, "new_checkout")
    shop.get_by_role("button", name="Pay in one step").click()
    expect(shop.get_by_text("Thank you! Your cast-iron teapot is on its way.")).to_be_visible()


def test_a_missing_page_appears_when_its_flag_is_switched_on(demo: Demo, open_page: Open) -> None:
    shop, emulator = open_page(f"{demo.shop}diary"), open_page(demo.emulator)
    expect(shop.get_by_role("heading", level=1)).to_have_text("This page does not exist.")
    switch(emulator, "beta_dashboard")
    expect(shop.get_by_role("heading", level=1)).to_have_text("Your tea diary")


@pytest.mark.parametrize("width", [390, 1250])
def test_a_change_does_not_move_the_page(demo: Demo, open_page: Open, width: int) -> None:
    shop = open_page(demo.shop, viewport={"width": width, "height": 800})
    emulator = open_page(demo.emulator)
    places = "[...document.querySelectorAll('.product, .facts, #segments')].map(e => e.offsetTop)"
    # Until then, lines come and go without a change.
    expect(shop.locator("#basket")).to_be_visible()
    expect(shop.locator("#listening")).to_contain_text("Live")
    before = shop.evaluate(places)
    for feature in ("new_checkout", "banner_text", "free_delivery", "beta_dashboard"):
        switch(emulator, feature)
        expect(shop.locator("#changes li").first).to_contain_text(feature)
    set_value(emulator, "pricing", '{"mug": 112.5, "teapot": 35.75, "tea_tin": 9}')
    expect(shop.locator("#price-mug")).to_have_text("€112.50")
    assert shop.evaluate(places) == before


def test_the_page_fits_every_width(demo: Demo, open_page: Open) -> None:
    shop = open_page(demo.shop)
    for path in ("", "checkout/teapot", "diary"):
        shop.goto(demo.shop + path)
        for width in (320, 390, 820, 1280):
            shop.set_viewport_size({"width": width, "height": 800})
            assert shop.evaluate("document.documentElement.scrollWidth") <= width


def test_the_keyboard_focus_is_kept(demo: Demo, open_page: Open) -> None:
    shop, emulator = open_page(demo.shop), open_page(demo.emulator)
    shop.locator("#buy-teapot").focus()
    switch(emulator, "new_checkout")
    expect(shop.locator("#buy-teapot")).to_contain_text("Buy now")
    expect(shop.locator("#buy-teapot")).to_be_focused()


def test_the_shop_ends_at_once_with_an_open_page(demo: Demo, open_page: Open) -> None:
    shop = open_page(demo.shop)
    expect(shop.locator("#listening")).to_contain_text("Live")
    demo.process.process.send_signal(signal.SIGINT)
    assert demo.process.wait() == 0
    assert "Traceback" not in demo.process.output


def test_the_basket_is_rendered_by_flagsmiths_javascript_sdk(demo: Demo, open_page: Open) -> None:
    shop, emulator = open_page(demo.shop), open_page(demo.emulator)
    mark(shop)
    asked: list[str] = []
    shop.on("request", lambda request: asked.append(request.url))
    total = shop.locator("#total")
    expect(total).to_have_text("€18.00")
    set_value(emulator, "pricing", '{"mug": 20, "teapot": 39}')
    expect(total).to_have_text("€24.00")
    expect(shop.get_by_label("First-flush Darjeeling")).to_be_disabled()
    shop.get_by_label("Cast-iron teapot").fill("1")
    expect(total).to_have_text("€63.00")
    switch(emulator, "free_delivery")
    expect(total).to_have_text("€59.00")
    assert is_marked(shop)
    assert all(url.startswith(demo.shop) for url in asked)


def test_the_basket_has_the_flags_of_its_visitor(demo: Demo, open_page: Open) -> None:
    shop = open_page(demo.shop)
    requests: list[str] = []
    shop.on("request", lambda request: requests.append(request.url))
    be(shop, "Ben")
    expect(shop.locator("#delivery")).to_contain_text("Free delivery")
    expect(shop.locator("#total")).to_have_text("€14.00")
    # The flags came with the page.
    assert not any("api/v1" in url for url in requests)
