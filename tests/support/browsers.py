"""Options of the browser, and the example shop that it visits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page

from tests.support.servers import Served
from tests.support.waiting import PATIENCE_SECONDS

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

Open = Callable[..., Page]


@dataclass(frozen=True)
class Demo:
    """The processes and pages of ``make demo``."""

    process: Served
    shop: str
    emulator: str


def patient_context(browser: Browser, **options: Any) -> BrowserContext:
    """Make a context whose pages wait as long as tests do."""
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    return context
