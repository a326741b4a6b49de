"""The price list: a JSON value that is read once, and forgotten when it changes."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flask_flagsmith_realtime import FlagChange, flags

from .features import DEFAULTS, flagsmith

FEATURE = "pricing"


@dataclass(frozen=True)
class PriceList:
    """What things cost.

    :param prices: the price by product.
    :param problem: why these are not the prices that Flagsmith has, if they are not.
    """

    prices: dict[str, float]
    problem: str | None = None


def price_list() -> PriceList:
    """The price list for whoever asks."""
    return read(flags.get_feature_value(FEATURE))


@lru_cache(maxsize=16)
def read(text: Any) -> PriceList:
    """Make a price list out of the feature's value.

    Kept by that value, so that a request which began before a change cannot bring the old prices
    back, and a segment can have its own.
    """
    try:
        prices = json.loads(text)
        if not isinstance(prices, dict) or not all(map(_is_price, prices.values())):
            raise ValueError('a price list looks like {"mug": 14, "teapot": 39}')
    except (TypeError, ValueError) as error:
        return PriceList(json.loads(DEFAULTS[FEATURE]), f"{FEATURE} cannot be read: {error}")
    return PriceList(prices)


@flagsmith.on_change(FEATURE)
def forget(change: FlagChange) -> None:
    """Let go of the old prices."""
    read.cache_clear()


def money(amount: float | None) -> str:
    """An amount as it stands on a price tag."""
    if amount is None:
        return "sold out"
    return f"€{amount:,.0f}" if amount == int(amount) else f"€{amount:,.2f}"


def _is_price(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value >= 0
