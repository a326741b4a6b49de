"""The types of overriding flags in tests."""

from collections.abc import Iterator

from flask import Flask
from typing_extensions import reveal_type

from flask_flagsmith_realtime import Flag
from flask_flagsmith_realtime.testing import FlagOverrides, override_flags

app = Flask(__name__)

with override_flags(app, {"my-flag": True, "other": Flag("other")}, signals=True, text=None):
    pass

override_flags(app, banner_text=["Hi"])  # => error: arg-type
override_flags("app", banner_text="Hi")  # => error: arg-type


@override_flags(app, new_checkout=True)
def check(path: str, *, status: int = 200) -> bool:
    return True


@override_flags(app, new_checkout=True)
async def check_async(path: str) -> bool:
    return True


@override_flags(app, new_checkout=True)
def fixture() -> Iterator[int]:
    yield 1


reveal_type(check)  # => def (path: str, *, status: int =) -> bool
reveal_type(check_async)  # => def (path: str) -> typing.Coroutine[Any, Any, bool]
reveal_type(fixture)  # => def () -> typing.Iterator[int]


def test_shop(flagsmith_flags: FlagOverrides) -> None:
    flagsmith_flags.set({"my-flag": True}, new_checkout=1.5, signals=True)
    flagsmith_flags.set(new_checkout=object())  # => error: arg-type
    flagsmith_flags.clear()
