"""Flagsmith's JavaScript SDK in a page of another origin uses the emulator, and an app's API."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, TimeoutError
from werkzeug.serving import make_server

from flask_flagsmith_realtime import FlagsmithRealtime
from flask_flagsmith_realtime.emulator import Emulator
from tests.support.apps import MakeApp
from tests.support.browsers import Open
from tests.support.npm import JAVASCRIPT_SDK, unpack
from tests.support.paths import ROOT
from tests.support.waiting import PATIENCE_SECONDS, eventually

PAGE = """
<!doctype html>
<link rel="icon" href="data:,">
<script type="module">
  import flagsmith from "./index.mjs";
  window.flagsmith = flagsmith;
  window.changes = [];
</script>
"""

INIT = """([url, key, options]) => flagsmith.init({
    environmentID: key,
    api: url + "api/v1/",
    eventSourceUrl: url,
    realtime: true,
    onChange: () => changes.push(flagsmith.getValue("banner_text")),
    ...options,
})"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A web server of another origin, which serves a page with the SDK."""
    files = unpack(JAVASCRIPT_SDK, tmp_path_factory.mktemp("npm"))
    Path(files, "index.html").write_text(PAGE)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(files))) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def page(site: str, open_page: Open) -> Page:
    """The open page, with the SDK loaded."""
    page = open_page(site)
    page.wait_for_function("window.flagsmith")
    return page


@pytest.fixture
def api(make_app: MakeApp, site: str) -> Iterator[str]:
    """Serves an app that lists the site's origin. Returns the URL of its blueprint."""
    flagsmith = FlagsmithRealtime()
    app = make_app(flagsmith, BROWSER_ORIGINS=[site.removesuffix("/")])
    app.register_blueprint(flagsmith.browser)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    yield f"http://127.0.0.1:{server.port}/flagsmith/browser/"
    server.shutdown()
    thread.join()
    flagsmith.stop(app)
    server.server_close()


def init(page: Page, emulator: Emulator, url: str | None = None, **options: object) -> None:
    page.evaluate(INIT, [url or emulator.url, emulator.client_side_key, options])


def wait_until(page: Page, emulator: Emulator, condition: str) -> None:
    """Wait for what a change causes. The answers that the SDK gets for two events can overtake each
    other, and the older one counts until the next change.
    """
    for number in range(10):
        with contextlib.suppress(TimeoutError):
            page.wait_for_function(condition, timeout=6000)
            return
        emulator.set_flag("another_feature", value=number)
    page.wait_for_function(condition)


def test_it_gets_the_flags_and_follows_changes(page: Page, emulator: Emulator) -> None:
    init(page, emulator)
    assert page.evaluate("flagsmith.getValue('banner_text')") == "Welcome to the tea shop"
    assert emulator.wait_for_streams(1)

    emulator.set_flag("banner_text", value="Hello from the stream")
    wait_until(page, emulator, "changes.at(-1) === 'Hello from the stream'")


def test_it_identifies_with_traits(page: Page, emulator: Emulator) -> None:
    init(page, emulator)
    assert not page.evaluate("flagsmith.hasFeature('beta_dashboard')")
    page.evaluate("flagsmith.identify('eve', { plan: 'pro' })")

    assert page.evaluate("flagsmith.hasFeature('beta_dashboard')")
    page.evaluate("flagsmith.setTrait('plan', 'free')")
    assert not page.evaluate("flagsmith.hasFeature('beta_dashboard')")
    assert emulator.wait_for_streams(1)
    emulator.override_identity("eve", "beta_dashboard", enabled=True)
    wait_until(page, emulator, "flagsmith.hasFeature('beta_dashboard')")


def test_it_reports_usage_and_exposures(page: Page, emulator: Emulator) -> None:
    emulator.set_experiment("button_colour", "Colours", {"teal": 100})
    init(
        page,
        emulator,
        enableAnalytics=True,
        enableEvents=True,
        eventProcessorConfig={"eventsApiUrl": emulator.events_api_url},
        evaluationContext={"identity": {"identifier": "ada"}},
    )
    page.evaluate("flagsmith.getExperimentFlag('button_colour')")
    page.evaluate("flagsmith.trackEvent('purchase', { value: 39 })")
    page.evaluate("flagsmith.flushEvents()")

    eventually(lambda: len(emulator.events) == 2)
    exposure, purchase = emulator.events
    assert (exposure["event"], exposure["identifier"]) == ("$flag_exposure", "ada")
    assert exposure["value"] == "calm"
    assert (purchase["event"], purchase["value"]) == ("purchase", "39")


def test_it_uses_an_app_that_lists_its_origin(page: Page, emulator: Emulator, api: str) -> None:
    init(page, emulator, api)
    assert page.evaluate("flagsmith.getValue('banner_text')") == "Welcome to the tea shop"
    page.wait_for_function("flagsmith.eventSource.readyState === 1")
    emulator.set_flag("banner_text", value="Hello from the app")
    wait_until(page, emulator, "changes.at(-1) === 'Hello from the app'")
    # Nobody is logged in there.
    page.evaluate("flagsmith.identify('eve', { plan: 'pro' })")
    assert not page.evaluate("flagsmith.hasFeature('beta_dashboard')")


def test_the_shop_has_the_same_sdk(site: str) -> None:
    released = requests.get(site + "index.mjs", timeout=PATIENCE_SECONDS).text
    vendored = (ROOT / "example_app/static/vendor/flagsmith.mjs").read_text("utf-8")

    assert vendored.strip() == released.partition("\n//# sourceMappingURL")[0]
