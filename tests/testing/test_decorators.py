"""``override_flags`` as a decorator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from flask import Flask

from flask_flagsmith_realtime.testing import override_flags
from tests.support.apps import read_flag


def test_decorated_function(app: Flask) -> None:
    @override_flags(app, new_checkout=True)
    def check(expected: str, *, twice: bool) -> str:
        """Checks."""
        if twice:
            check("True ?", twice=False)
        assert app.test_client().get("/").text == expected
        return "checked"

    assert check("True ?", twice=True) == "checked"
    assert check.__doc__ == "Checks."
    assert not read_flag(app, "new_checkout")


def test_decorated_async_function(app: Flask) -> None:
    @override_flags(app, new_checkout=True)
    async def check() -> bool:
        await asyncio.sleep(0)
        return read_flag(app, "new_checkout").enabled

    async def together() -> list[bool]:
        return await asyncio.gather(check(), check())

    assert asyncio.run(together()) == [True, True]
    assert not read_flag(app, "new_checkout")


def test_decorated_methods_of_each_kind(app: Flask) -> None:
    class Shop:
        @override_flags(app, new_checkout=True)
        def method(self) -> bool:
            return read_flag(app, "new_checkout").enabled

        @override_flags(app, new_checkout=True)
        @staticmethod
        def static() -> bool:
            return read_flag(app, "new_checkout").enabled

        @override_flags(app, new_checkout=True)
        @classmethod
        def of_class(cls) -> bool:
            return read_flag(app, "new_checkout").enabled

    shop = Shop()
    assert shop.method()
    assert shop.static()
    assert Shop.static()
    assert shop.of_class()
    assert Shop.of_class()
    assert not read_flag(app, "new_checkout")


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    "function",
    [generator, async_generator, type("TestShop", (), {}), object()],
    ids=["generator", "async generator", "class", "object"],
)
def test_nothing_else_is_decorated(app: Flask, function: Any) -> None:
    with pytest.raises(TypeError, match="decorates functions and methods, plain or async"):
        override_flags(app, new_checkout=True)(function)
