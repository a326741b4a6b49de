import functools
import os
from collections.abc import Callable
from typing import Any

from huey import RedisHuey

from flask_flagsmith_realtime import flags

from .shop import create_app

app = create_app()
huey = RedisHuey("shop", url=os.environ["REDIS_URL"])


def app_task(function: Callable[..., Any]) -> Any:
    """Makes a task with an app context of its own."""

    @huey.task()
    @functools.wraps(function)
    def task(*args: Any, **kwargs: Any) -> Any:
        with app.app_context():
            return function(*args, **kwargs)

    return task


@app_task
def banner() -> Any:
    return flags.get_feature_value("banner_text")
