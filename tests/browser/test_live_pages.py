"""Pages of an app with ``flagsmith.browser``, under gunicorn, in a real browser."""

from __future__ import annotations

import copy
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.browsers import Open, patient_context
from tests.support.npm import HTMX, JAVASCRIPT_SDK, TURBO, unpack
from tests.support.ports import reserved_address
from tests.support.servers import Served, environment_of, gunicorn, uwsgi
from tests.support.waiting import eventually

APP = "tests.support.live_app:create_app()"
WORKERS = 2
SECRET = "pricing"


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with packages of npm."""
    directory = tmp_path_factory.mktemp("npm")
    for name, package in (("flagsmith", JAVASCRIPT_SDK), ("htmx", HTMX), ("turbo", TURBO)):
        directory.joinpath(name).mkdir()
        unpack(package, directory / name)
    return directory


@dataclass(frozen=True)
class Site:
    """A running app and its Flagsmith."""

    server: Served
    emulator: Emulator

    def change(self, text: str) -> float:
        """Change the banner."""
        return self.emulator.set_flag("banner_text", value=text)

    def change_everywhere(self, text: str) -> None:
        """Change the banner, and wait until all workers serve it."""
        self.wait_everywhere(self.change(text))

    def wait_everywhere(self, epoch: float) -> None:
        """Wait until all workers serve an epoch."""
        self.server.wait_for_all(WORKERS, lambda answer: bool(answer["epoch"] >= epoch), "/state")

    def pids(self, workers: int = WORKERS) -> set[int]:
        """The process ids of the workers."""
        return set(self.server.wait_for_all(workers, bool, "/state"))


Start = Callable[..., Site]


@pytest.fixture(scope="module")
def start(packages: Path) -> Iterator[Start]:
    """Starts sites."""
    with contextmanager(_starting)(packages) as starting:
        yield starting


def _starting(packages: Path) -> Iterator[Start]:
    document = copy.deepcopy(Emulator().document)
    document["project"]["server_key_only_feature_ids"] = [
        state["feature"]["id"]
        for state in document["feature_states"]
        if state["feature"]["name"] == SECRET
    ]
    running: list[tuple[Served, Emulator]] = []

    def start_one(
        *options: str, command: Callable[..., list[str]] = gunicorn, **settings: object
    ) -> Site:
        emulator = Emulator(document=copy.deepcopy(document)).start()
        environment = environment_of({**emulator.config, **settings})
        environment["NPM_PACKAGES"] = str(packages)
        running.append((Served(command(*options, app=APP), environment), emulator))
        return Site(*running[-1])

    yield start_one
    for server, emulator in running:
        server.kill()
        emulator.stop()


@pytest.fixture(scope="module")
def site(start: Start) -> Site:
    """A site for all tests that leave it as it is."""
    return start("--workers", str(WORKERS), "--threads", "16")


@pytest.fixture(scope="module")
def reserved() -> Iterator[str]:
    """An address that stays free for a server."""
    with reserved_address() as address:
        yield address


@dataclass
class Requests:
    """The requests of a browser's context, by path."""

    all: list[Request] = field(default_factory=list)

    def count(self, path: str) -> int:
        """Count the requests of a path."""
        return sum(f"{path}?" in f"{request.url}?" for request in self.all)


def listen(context: BrowserContext, event: Any = "request") -> Requests:
    """Record the requests of all pages of a context, or those with another event."""
    requests = Requests()
    context.on(event, lambda request: requests.all.append(request))
    return requests


def until(page: Page, condition: Callable[[], bool]) -> None:
    """Wait for a condition while the page's events are received."""
    eventually(lambda: page.wait_for_timeout(20) or condition())


def expect_banner(text: str, *pages: Page) -> None:
    """Wait until pages show this banner."""
    for page in pages:
        expect(page.locator("#banner")).to_have_text(text)


def events(page: Page) -> list[dict[str, Any]]:
    """The changes that the page was told of."""
    found: list[dict[str, Any]] = page.evaluate("window.events")
    return found


def test_marked_elements_follow_and_all_else_stays(site: Site, open_page: Open) -> None:
    site.change_everywhere("before")
    page = open_page(f"{site.server.url}/live")
    requests = listen(page.context)
    banner = page.locator("#banner")
    expect(banner).to_have_text("before")
    page.evaluate(
        "window.nodes = ['main', 'banner', 'name'].map((id) => document.getElementById(id))"
    )
    page.locator("#details summary").click()
    page.locator("#box").evaluate("(box) => (box.scrollTop = 120)")
    page.locator("#name").fill("half-typed na")
    page.locator("#amount").fill("1")
    page.locator("#note").press_sequentially("a note")

    epoch = site.change("after")
    expect(banner).to_have_text("after")
    expect(page.locator("p[data-flagsmith-live]")).to_have_text("after")
    expect(page.locator("#more")).to_be_visible()
    expect(page.locator("#more")).to_have_text("after")
    expect(page.locator("#order output")).to_have_text("after")
    expect(page.locator("#unmarked")).to_have_text("before")
    expect(page.locator("#note")).to_be_focused()
    expect(page.locator("#note")).to_have_value("a note")
    expect(page.locator("#name")).to_have_value("half-typed na")
    expect(page.locator("#amount")).to_have_value("1")
    assert page.locator("#box").evaluate("(box) => box.scrollTop") == 120
    assert page.evaluate("nodes.every((node) => node === document.getElementById(node.id))")
    assert events(page) == [{"epoch": epoch}]

    site.emulator.set_flag("new_checkout", enabled=True)
    expect(page.locator("#new")).to_be_visible()
    site.emulator.set_flag("new_checkout", enabled=False)
    expect(page.locator("#new")).to_have_count(0)
    assert page.evaluate("nodes.every((node) => node === document.getElementById(node.id))")
    epochs = [event["epoch"] for event in events(page)]
    assert epochs == sorted(set(epochs))
    assert len(epochs) == 3
    assert requests.count("/events") <= 1


def test_tabs_share_one_stream_and_the_next_one_takes_over(site: Site, browser: Browser) -> None:
    site.change_everywhere("before")
    context = patient_context(browser)
    requests = listen(context)
    tabs = [context.new_page() for _ in range(10)]
    for tab in tabs:
        tab.goto(f"{site.server.url}/live")
    site.change("to all tabs")
    for tab in tabs:
        expect(tab.locator("#banner")).to_have_text("to all tabs")
    assert requests.count("/events") == 1
    tabs[0].close()
    until(tabs[1], lambda: requests.count("/events") == 2)
    site.change("to the others")
    for tab in tabs[1:]:
        expect(tab.locator("#banner")).to_have_text("to the others")
        assert len(events(tab)) == 2
    assert requests.count("/events") == 2
    context.close()


def test_without_locks_each_tab_has_its_own_stream(site: Site, browser: Browser) -> None:
    context = patient_context(browser)
    context.add_init_script("delete Navigator.prototype.locks")
    requests = listen(context)
    tabs = [context.new_page() for _ in range(2)]
    for tab in tabs:
        tab.goto(f"{site.server.url}/live")
    until(tabs[0], lambda: requests.count("/events") == 2)
    site.change("without locks")
    for tab in tabs:
        expect(tab.locator("#banner")).to_have_text("without locks")
    context.close()


def test_a_hidden_page_lets_go_and_catches_up(site: Site, browser: Browser) -> None:
    context = patient_context(browser)
    context.add_init_script(
        "Object.defineProperty(document, 'hidden', { get: () => window.isHidden === true })"
    )
    page = context.new_page()
    page.clock.install()
    requests = listen(context)
    page.goto(f"{site.server.url}/live")
    until(page, lambda: requests.count("/events") == 1)
    ended: list[str] = []
    context.on("requestfailed", lambda request: ended.append(request.url))
    show = """(hidden) => {
        window.isHidden = hidden;
        window.dispatchEvent(new Event('visibilitychange'));
    }"""
    page.evaluate(show, True)
    page.clock.fast_forward(61_000)
    until(page, lambda: any("/events" in url for url in ended))
    epoch = site.change("while hidden")
    page.evaluate(show, False)
    expect(page.locator("#banner")).to_have_text("while hidden")
    until(page, lambda: events(page)[-1:] == [{"epoch": epoch}])
    assert requests.count("/events") == 2
    context.close()


def test_a_change_while_a_page_gives_up_is_not_missed(site: Site, browser: Browser) -> None:
    site.change_everywhere("before")
    context = patient_context(browser)
    page = context.new_page()
    page.clock.install()
    page.goto(f"{site.server.url}/live")
    requests = listen(context)
    page.route("**/live", lambda route: route.abort())
    site.change("not to be had")
    # Each time, it waits a bit longer: at the end for a few seconds.
    until(page, lambda: page.clock.fast_forward(4_000) or requests.count("/live") >= 14)
    until(page, lambda: len(events(page)) == 1)
    page.unroute("**/live")
    site.change("after all")
    until(page, lambda: len(events(page)) == 2)
    page.clock.fast_forward(20_000)
    expect_banner("after all", page)
    context.close()


def test_htmx_and_turbo_follow(site: Site, open_page: Open) -> None:
    site.change_everywhere("before")
    htmx, turbo = open_page(f"{site.server.url}/htmx"), open_page(f"{site.server.url}/turbo")
    turbo.get_by_text("Next").click()
    expect(turbo).to_have_url(f"{site.server.url}/turbo?page=1")
    # Turbo changes the URL before it shows the page.
    expect(turbo.get_by_text("Next")).to_have_attribute("href", "/turbo?page=11")
    epoch = site.change("after")
    for shown in (htmx.locator("#part"), turbo.locator("#frame"), turbo.locator("#banner")):
        expect(shown).to_have_text("after")
    assert events(turbo) == events(htmx) == [{"epoch": epoch}]
    # Turbo shows the page as it was.
    turbo.go_back()
    expect(turbo).to_have_url(f"{site.server.url}/turbo")
    expect(turbo.get_by_text("Next")).to_have_attribute("href", "/turbo?page=1")
    expect(turbo.locator("#banner")).to_have_text("after")
    site.change("after that")
    expect(turbo.locator("#banner")).to_have_text("after that")


def test_the_sdk_starts_without_a_request_and_follows(site: Site, open_page: Open) -> None:
    site.change_everywhere("first paint")
    page = open_page(f"{site.server.url}/sdk")
    requests = listen(page.context)
    page.evaluate("ready")
    expect(page.locator("#banner")).to_have_text("first paint")
    page.wait_for_function("flagsmith.eventSource.readyState === 1")
    assert requests.count("/api/v1/flags/") == 0
    site.change("followed")
    expect(page.locator("#banner")).to_have_text("followed")


def test_the_sdk_keeps_the_traits_that_its_page_was_given(site: Site, open_page: Open) -> None:
    page = open_page(f"{site.server.url}/login/ada")
    page.evaluate("ready")
    for text in ("followed once", "followed twice"):
        page.wait_for_function("flagsmith.eventSource.readyState === 1")
        site.change(text)
        expect(page.locator("#banner")).to_have_text(text)
        assert page.evaluate("flagsmith.getAllTraits()") == {"plan": "free"}


def test_the_usage_that_the_sdk_reports_is_counted(start: Start, open_page: Open) -> None:
    site = start(
        *("--workers", "1", "--threads", "8"),
        FLAGSMITH_ENABLE_ANALYTICS=True,
        FLAGSMITH_ANALYTICS_INTERVAL_SECONDS=0.1,
    )
    page = open_page(f"{site.server.url}/sdk")
    page.evaluate("ready")
    # In one step, after which the SDK does not report by itself.
    read_and_report = """(names) => {
        clearInterval(flagsmith.analyticsInterval);
        names.forEach((name) => flagsmith.hasFeature(name));
        flagsmith.analyticsFlags();
    }"""
    with page.expect_request("**/analytics/flags/") as posted:
        page.evaluate(read_and_report, ["banner_text", "new_checkout", "new_checkout", SECRET])
    assert posted.value.post_data_json[SECRET] == 1
    eventually(lambda: site.emulator.analytics == {"banner_text": 1, "new_checkout": 2})


def test_an_identity_cannot_be_faked_and_nothing_secret_leaves(site: Site, open_page: Open) -> None:
    emulator = site.emulator
    emulator.override_identity("ada", "banner_text", value="for Ada")
    site.wait_everywhere(emulator.override_identity("eve", "banner_text", value="for Eve"))
    page = open_page(f"{site.server.url}/login/eve")
    expect(page.locator("#banner")).to_have_text("for Eve")
    for claim in ("flagsmith.identify('ada')", "flagsmith.identify('ada', { plan: 'pro' })"):
        page.evaluate(claim)
        assert page.evaluate("flagsmith.getValue('banner_text')") == "for Eve"
        assert page.evaluate("flagsmith.identity") == "eve"
        assert not page.evaluate("flagsmith.hasFeature('beta_dashboard')")
    page.evaluate("flagsmith.logout()")
    assert page.evaluate("flagsmith.getValue('banner_text')") == "for Eve"
    paths = ["api/v1/flags/", "api/v1/identities/?identifier=ada", "epoch"]
    texts = [page.content(), page.evaluate("JSON.stringify(flagsmith.getState())")]
    for path in paths:
        texts.append(
            page.evaluate(
                "(path) => fetch(path).then((r) => r.text())", f"/flagsmith/browser/{path}"
            )
        )
    assert all(SECRET not in text for text in texts)
    assert all(emulator.server_side_key not in text for text in texts)


def test_a_page_survives_reloads_and_killed_workers(start: Start, open_page: Open) -> None:
    site = start("--workers", str(WORKERS), "--threads", "8", "--graceful-timeout", "600")
    page = open_page(f"{site.server.url}/live")
    sdk = open_page(f"{site.server.url}/sdk")
    old = site.pids()
    site.server.process.send_signal(signal.SIGHUP)
    # Long before the graceful timeout: the streams of the old workers end by themselves.
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in old))
    site.change("after the reload")
    expect_banner("after the reload", page, sdk)
    for pid in site.pids():
        os.kill(pid, signal.SIGKILL)
    site.change("after the kill")
    expect_banner("after the kill", page, sdk)
    assert site.server.stop() == 0
    assert "Traceback" not in site.server.output


def test_a_page_survives_a_reload_of_uwsgi(start: Start, open_page: Open, reserved: str) -> None:
    site = start(
        *("--processes", str(WORKERS), "--threads", "8", "--binary-path", sys.executable),
        # The seconds that it waits for open streams.
        *("--worker-reload-mercy", "1"),
        # After a reload, uWSGI would listen on another free port.
        command=partial(uwsgi, address=reserved),
    )
    page = open_page(f"{site.server.url}/live")
    sdk = open_page(f"{site.server.url}/sdk")
    site.change("before the reload")
    expect_banner("before the reload", page, sdk)
    old = site.pids()
    site.server.process.send_signal(signal.SIGHUP)
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in old))
    site.change("after the reload")
    expect_banner("after the reload", page, sdk)
    assert "Traceback" not in site.server.output


def test_a_sync_worker_stays_responsive_and_pages_poll(start: Start, browser: Browser) -> None:
    site = start("--workers", "1")
    context = patient_context(browser)
    # No page polls again by itself.
    context.clock.install(time=0)
    context.clock.pause_at(1)
    requests, answered = listen(context), listen(context, "requestfinished")
    pages = [context.new_page() for _ in range(4)]
    for page in pages:
        page.goto(f"{site.server.url}/live")
    until(pages[0], lambda: answered.count("/epoch") == 1)
    # The page that leads reads its answers in order.
    assert pages[0].evaluate("fetch('/state').then((answer) => answer.json())")["banner"]
    epoch = site.change("polled")
    eventually(lambda: site.server.get("/state")["banner"] == "polled")
    context.clock.fast_forward(37_000)
    for page in pages:
        expect(page.locator("#banner")).to_have_text("polled")
        assert events(page) == [{"epoch": epoch}]
    assert requests.count("/epoch") == 2
    assert requests.count("/events") == 1
    assert site.server.output.count("serves one request at a time") == 1
    context.close()
