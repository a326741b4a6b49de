"""The example shop without a browser: its pages, its parts, how it starts and how it ends."""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest
import requests
from flask import Flask

from example_app import counter, create_app, prices, wording
from example_app.features import DEFAULTS
from flask_flagsmith_realtime import Flag, FlagChange
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.testing import override_flags
from tests.support.paths import ROOT
from tests.support.servers import Served, environment_of
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture
def app() -> Flask:
    """The shop without a Flagsmith: the defaults serve."""
    return create_app({"TESTING": True})


class TestPages:
    def test_the_defaults_serve_until_flagsmith_answers(self, app: Flask) -> None:
        page = app.test_client().get("/").text
        assert "Welcome to the tea shop" in page
        assert "€39" in page
        assert "the shop's defaults are used" in page

    def test_the_sample_has_what_the_shop_knows(self, emulator: Emulator) -> None:
        sample = {s["feature"]["name"]: s for s in emulator.document["feature_states"]}
        assert sample.keys() == DEFAULTS.keys()

    def test_a_text_is_text(self, app: Flask) -> None:
        with override_flags(app, banner_text="<b>", button_colour="red;x:url(//evil)"):
            page = app.test_client().get("/").text
        assert "&lt;b&gt;" in page
        assert "--button: indigo" in page

    def test_the_checkout_is_behind_its_flag(self, app: Flask) -> None:
        client = app.test_client()
        assert "Order by post" in client.get("/checkout/mug").text
        assert client.post("/checkout/mug").status_code == 409
        with override_flags(app, new_checkout=True, free_delivery=True):
            page = client.get("/checkout/mug").text
            assert "New checkout" in page
            assert "free" in page
            paid = client.post("/checkout/mug", follow_redirects=True)
        assert "Your stoneware mug is on its way" in paid.text

    def test_a_checkout_of_what_is_sold_out(self, app: Flask) -> None:
        with override_flags(app, new_checkout=True, pricing="{}"):
            page = app.test_client().get("/checkout/mug").text
        assert "sold out" in page
        assert "disabled" in page

    def test_a_page_without_its_flag_is_not_there(self, app: Flask) -> None:
        client = app.test_client()
        answer = client.get("/diary")
        assert answer.status_code == 404
        assert "This page does not exist." in answer.text
        with override_flags(app, beta_dashboard=True):
            assert "Your tea diary" in client.get("/diary").text

    def test_nothing_is_sold_that_is_not_there(self, app: Flask) -> None:
        with override_flags(app, new_checkout=True):
            assert app.test_client().get("/checkout/samovar").status_code == 404

    def test_the_visitor_is_kept_in_a_signed_cookie(self, app: Flask) -> None:
        client = app.test_client()
        client.post("/who", data={"person": "ada"})
        assert "Flags for Ada" in client.get("/").text
        client.set_cookie("session", "eyJwZXJzb24iOiJiZW4ifQ.forged")
        assert "Flags for an anonymous visitor" in client.get("/").text

    def test_a_stranger_is_refused(self, app: Flask) -> None:
        assert app.test_client().post("/who", data={"person": "eve"}).status_code == 400


class TestPrices:
    @pytest.fixture(autouse=True)
    def _unread(self) -> Iterator[None]:
        prices.read.cache_clear()
        yield
        prices.read.cache_clear()

    def test_a_price_list_is_parsed_once(self, app: Flask) -> None:
        client = app.test_client()
        for _ in range(5):
            client.get("/")
        assert prices.read.cache_info().misses == 1
        assert prices.read.cache_info().hits >= 4

    def test_a_change_clears_it(self, app: Flask) -> None:
        client = app.test_client()
        client.get("/")
        with override_flags(app, signals=True, pricing='{"mug": 15}'):
            assert prices.read.cache_info().currsize == 0
            assert "€15" in client.get("/").text

    def test_a_change_of_another_feature_does_not(self, app: Flask) -> None:
        app.test_client().get("/")
        with override_flags(app, signals=True, new_checkout=True):
            assert prices.read.cache_info().currsize == 1

    @pytest.mark.parametrize(
        "value",
        [None, 5, True, "", "{", "[]", "14"]
        + [f'{{"mug": {price}}}' for price in ('"14"', "true", "-1", "NaN", "null")],
    )
    def test_what_is_no_price_list(self, value: Any) -> None:
        read = prices.read(value)
        assert read.prices["mug"] == 14
        assert read.problem is not None
        assert read.problem.startswith("pricing cannot be read: ")

    @pytest.mark.parametrize(
        ("amount", "tag"), [(14, "€14"), (12.5, "€12.50"), (1234.0, "€1,234"), (None, "sold out")]
    )
    def test_a_price_tag(self, amount: float | None, tag: str) -> None:
        assert prices.money(amount) == tag


class TestWording:
    def test_a_switch(self) -> None:
        change = FlagChange("a", Flag("a", False, "v"), Flag("a", True, "v"))
        assert wording.steps(change) == [wording.Step("state", "off", "on")]
        assert wording.note(change) is None

    def test_a_value(self) -> None:
        change = FlagChange("a", Flag("a", True, None), Flag("a", True, "blue"))
        assert wording.steps(change) == [wording.Step("value", "none", "blue")]

    def test_members_of_a_json_value(self) -> None:
        change = FlagChange(
            "a", Flag("a", True, '{"x": 1, "y": 2}'), Flag("a", True, '{"x": 3, "y": 2}')
        )
        assert wording.steps(change) == [wording.Step("x", "1", "3")]

    def test_a_new_feature_and_one_that_is_gone(self) -> None:
        flag = Flag("a", True)
        assert wording.steps(FlagChange("a", None, flag)) == [wording.Step("feature", "none", "on")]
        assert wording.steps(FlagChange("a", flag, None)) == [wording.Step("feature", "on", "none")]

    def test_a_change_for_some_people(self) -> None:
        flag = Flag("a", True)
        change = FlagChange("a", flag, flag, targeting_changed=True)
        assert wording.steps(change) == []
        assert "for some visitors" in (wording.note(change) or "")

    @pytest.mark.parametrize(
        ("reason", "words"),
        [
            ("STATIC", "environment"),
            ("DEFAULT", "environment"),
            (None, "environment"),
            ("SPLIT; weight=30.0", "split, 30 %"),
            ("TARGETING_MATCH; segment=pro_customers", "segment pro_customers"),
            ("TARGETING_MATCH; segment=identity_overrides", "this visitor"),
        ],
    )
    def test_a_reason(self, reason: str | None, words: str) -> None:
        assert wording.reason(Flag("a", reason=reason)) == words


ENTRY = counter.Entry("a", datetime(2026, 1, 1), [], None)


class TestCounter:
    def test_a_page_with_the_flags_of_a_change_waits_for_its_entry(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(counter, "MOST_WAIT_SECONDS", PATIENCE_SECONDS)
        changes = counter.Counter()
        changes.latest(1.0)
        with ThreadPoolExecutor() as pool:
            page = pool.submit(changes.latest, 2.0)
            changes.record([ENTRY], 2.0)
        assert page.result() == (ENTRY,)

    def test_a_page_waits_for_no_signal_that_does_not_come(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(counter, "MOST_WAIT_SECONDS", 0.01)
        changes = counter.Counter()
        assert changes.latest(None) == changes.latest(1.0) == changes.latest(2.0) == ()

    def test_a_page_with_older_flags_makes_no_other_page_wait(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        changes = counter.Counter()
        changes.record([ENTRY], 2.0)
        # A wait would be an error.
        monkeypatch.setattr(counter, "MOST_WAIT_SECONDS", math.inf)
        assert changes.latest(1.0) == changes.latest(2.0) == (ENTRY,)

    def test_a_page_without_flags_lets_others_wait(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(counter, "MOST_WAIT_SECONDS", PATIENCE_SECONDS)
        changes = counter.Counter()
        changes.record([], 1.0)
        changes.latest(None)
        with ThreadPoolExecutor() as pool:
            page = pool.submit(changes.latest, 2.0)
            changes.record([ENTRY], 2.0)
        assert page.result() == (ENTRY,)

    def test_the_newest_entries_are_kept(self) -> None:
        changes = counter.Counter()
        for epoch in range(20):
            changes.record([ENTRY], epoch)
        assert len(changes.latest(19)) == counter.MOST_ENTRIES


def demo(**environment: str) -> Served:
    """Run ``python -m example_app`` on free ports."""
    ports = {"EXAMPLE_APP_PORT": "0", "EXAMPLE_APP_EMULATOR_PORT": "0"}
    return Served([sys.executable, "-m", "example_app"], {**ports, **environment}, ROOT)


@pytest.mark.slow
class TestDemo:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_it_says_where_it_is_and_ends_when_told(self, number: signal.Signals) -> None:
        process = demo()
        try:
            shop = process.wait_for_output(r"The shop +(\S+)\n")[1]
            emulator = process.wait_for_output(r"Switch flags here +(\S+)\n")[1]
            assert f'href="{emulator}"' in requests.get(shop, timeout=PATIENCE_SECONDS).text
            assert "emulator" in requests.get(emulator, timeout=PATIENCE_SECONDS).text
            process.process.send_signal(number)
            assert process.wait() == 0
            assert "Traceback" not in process.output
        finally:
            process.kill()

    def test_with_a_key_it_talks_to_that_flagsmith(self, emulator: Emulator) -> None:
        process = demo(**environment_of(emulator.config))
        try:
            shop = process.wait_for_output(r"The shop +(\S+)\n")[1]
            assert "Switch flags" not in requests.get(shop, timeout=PATIENCE_SECONDS).text
            assert "Switch flags" not in process.output
            assert emulator.wait_for_streams(1)
        finally:
            process.kill()

    def test_the_flask_command_serves_it_too(self, emulator: Emulator) -> None:
        command = [sys.executable, "-m", "flask", "--app", "example_app", "run", "--port", "0"]
        process = Served(command, environment_of(emulator.config), ROOT)
        try:
            assert "Slow Leaf" in requests.get(process.url, timeout=PATIENCE_SECONDS).text
            assert emulator.wait_for_streams(1)
        finally:
            process.kill()

    @pytest.mark.parametrize("variable", ["EXAMPLE_APP_PORT", "EXAMPLE_APP_EMULATOR_PORT"])
    @pytest.mark.parametrize("port", ["taken", "five"])
    def test_a_port_that_cannot_be_had(self, variable: str, port: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            number = str(taken.getsockname()[1]) if port == "taken" else port
            ended = subprocess.run(
                [sys.executable, "-m", "example_app"],
                env={**os.environ, "EXAMPLE_APP_EMULATOR_PORT": "0", variable: number},
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=PATIENCE_SECONDS,
            )
        assert ended.returncode == 1
        assert number in ended.stderr
        assert variable in ended.stderr
        assert "Traceback" not in ended.stderr

    def test_the_next_port_is_taken_if_the_usual_one_is_not_free(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from example_app import __main__ as main

        monkeypatch.delenv("EXAMPLE_APP_PORT", raising=False)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with main.start(main.listen, "EXAMPLE_APP_PORT", port) as listening:
                assert port < listening.getsockname()[1] < port + main.PORTS_TRIED
