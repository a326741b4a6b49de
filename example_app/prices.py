"""The price list: a JSON value that is parsed once, and again when it changes."""

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
    """The prices.

    :param prices: the price by product.
    :param problem: why the default prices serve instead of the flag's; ``None`` if they do not.
    """

    prices: dict[str, float]
    problem: str | None = None


def price_list() -> PriceList:
    """Return the price list for the current visitor."""
    return read(flags.get_feature_value(FEATURE))


@lru_cache(maxsize=16)
def read(text: Any) -> PriceList:
    """Parse the feature's value.

    Cached by that value, so that a request which began before a change cannot bring the old prices
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
    """Clear the cache."""
    read.cache_clear()


def money(amount: float | None) -> str:
    """Format an amount for a price tag."""
    if amount is None:
        return "sold out"
    return f"€{amount:,.0f}" if amount == int(amount) else f"€{amount:,.2f}"


def _is_price(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value >= 0
