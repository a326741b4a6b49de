"""A view waits for the epoch that a browser knows from another process."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import pytest

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.browser_api import Shop
from tests.support.waiting import PATIENCE_SECONDS


def wait(shop: Shop, epoch: str | float | None, timeout: float = PATIENCE_SECONDS) -> bool:
    with shop.app.app_context():
        return shop.flagsmith.wait_for_epoch(epoch, timeout)


def test_an_epoch_that_is_held_needs_no_wait(shop: Shop, emulator: Emulator) -> None:
    assert wait(shop, emulator.epoch)
    assert wait(shop, repr(emulator.epoch))
    assert wait(shop, 1)


def test_it_waits_for_a_newer_epoch(shop: Shop, emulator: Emulator) -> None:
    wanted = emulator.epoch + 0.001
    assert not wait(shop, wanted, timeout=0)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(wait, shop, wanted)
        emulator.set_flag("new_checkout", enabled=True)
        assert waiting.result()


@pytest.mark.parametrize("epoch", [None, "", "null", "nan", "x", math.inf, 9e10])
def test_nonsense_is_not_waited_for(shop: Shop, epoch: str | float | None) -> None:
    assert not wait(shop, epoch)


def test_a_stopped_engine_is_not_waited_for(shop: Shop, emulator: Emulator) -> None:
    shop.call("epoch")
    shop.flagsmith.stop(shop.app)
    assert not wait(shop, emulator.epoch + 1)
