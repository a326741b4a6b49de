"""Fixtures of the tests in a real browser."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.browsers import BROWSERS, OPTIONS, Demo, Open, patient_context
from tests.support.paths import ROOT
from tests.support.programs import find_program
from tests.support.servers import Served
from tests.support.waiting import PATIENCE_SECONDS

expect.set_options(timeout=PATIENCE_SECONDS * 1000)

#: ``python -m example_app``, whose pages wait longer for the signal of a change. Changes that undo
#: each other have none, so they do not wait for it as long as a test does for a page.
PATIENT_SHOP = f"""
from example_app import __main__, counter
counter.MOST_WAIT_SECONDS = {PATIENCE_SECONDS / 3}
__main__.main()
"""


# One for each module: while it runs, its event loop disturbs tests with one of their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The installed Chromium."""
    found = find_program(*BROWSERS)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=found, args=OPTIONS, timeout=PATIENCE_SECONDS * 1000
        )
        yield running
        running.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens a page as a new visitor. No page may raise an error or request another host."""
    contexts = []
    problems: list[str] = []

    def stay_here(url: str) -> None:
        if urlsplit(url).hostname not in ("127.0.0.1", None):
            problems.append(f"request of {url}")

    def open_one(url: str, **context: object) -> Page:
        contexts.append(patient_context(browser, **context))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: stay_here(request.url))
        page.goto(url)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def demo() -> Iterator[Demo]:
    """The shop and its emulator in a process of their own."""
    ports = {"EXAMPLE_APP_PORT": "0", "EXAMPLE_APP_EMULATOR_PORT": "0"}
    process = Served([sys.executable, "-c", PATIENT_SHOP], ports, ROOT)
    try:
        shop = process.wait_for_output(r"The shop +(\S+)\n")[1]
        emulator = process.wait_for_output(r"Switch flags here +(\S+)\n")[1]
        yield Demo(process, shop, emulator)
    finally:
        process.kill()
