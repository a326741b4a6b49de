"""The example shop in a real browser, served by gunicorn, with a Flagsmith in another process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.browsers import Open
from tests.support.paths import ROOT
from tests.support.ports import reserved_address
from tests.support.servers import Served, environment_of, gunicorn
from tests.support.waiting import eventually


@contextmanager
def served(emulator: Emulator, *options: str) -> Iterator[Served]:
    """Run the shop under gunicorn with its ``gunicorn_conf.py``."""
    command = gunicorn(
        "--config", "python:example_app.gunicorn_conf", *options, app="example_app:create_app()"
    )
    process = Served(command, environment_of(emulator.config), ROOT)
    try:
        yield process
    finally:
        process.kill()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_open_shop_follows(emulator: Emulator, open_page: Open, workers: int) -> None:
    with served(emulator, "--workers", str(workers)) as server:
        visitors = [open_page(server.url) for _ in range(2)]
        for number in (1, 2, 3):
            emulator.set_flag("banner_text", value=f"Number {number}")
            emulator.set_flag("pricing", value=f'{{"mug": {number}1}}')
            for shop in visitors:
                expect(shop.locator("#banner")).to_have_text(f"Number {number}")
                # Flagsmith's JavaScript SDK adds the delivery.
                expect(shop.locator("#total")).to_have_text(f"€{number}5.00")
        assert server.stop() == 0
        assert "Traceback" not in server.output


def test_an_open_shop_catches_up_after_a_restart_of_its_server(
    emulator: Emulator, open_page: Open
) -> None:
    with reserved_address() as address:
        options = ("--bind", address)
        with served(emulator, *options) as server:
            server.wait_for_output("Booting worker")
            shop = open_page(f"http://{address}")
            expect(shop.locator("#listening")).to_contain_text("Live")
            server.stop()
        emulator.set_flag("new_checkout", enabled=True)
        with served(emulator, *options):
            expect(shop.locator("#buy-mug")).to_contain_text("Buy now")


def test_the_shop_shows_the_state_of_the_stream(emulator: Emulator, open_page: Open) -> None:
    with served(emulator) as server:
        shop = open_page(server.url)
        listening = shop.locator("#listening")
        expect(listening).to_contain_text("Live")
        emulator.stop()
        # Polling, and stale once that has failed.
        eventually(lambda: shop.reload() and "Live" not in listening.inner_text())
        emulator.start()
        expect(listening).to_contain_text("Live")
