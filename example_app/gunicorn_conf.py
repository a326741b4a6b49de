"""The shop under gunicorn.

``gunicorn --config python:example_app.gunicorn_conf 'example_app:create_app()'``
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

# An open page takes a thread for its events.
worker_class = "gthread"
threads = 32


def post_worker_init(worker: Any) -> None:
    """End the open pages' event streams at SIGTERM: the worker would wait for them."""
    from example_app.live import news

    gunicorns = signal.getsignal(signal.SIGTERM)

    def end(number: int, frame: FrameType | None) -> None:
        news.close()
        gunicorns(number, frame)

    signal.signal(signal.SIGTERM, end)
