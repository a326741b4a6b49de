"""The server's worker that this process is: how many requests it serves at once, and its stop.

WSGI says whether a worker has threads, but not how many, and says nothing of a stop. gunicorn's
worker is found by its signal handlers, which are its methods; uWSGI has a module; waitress names
its threads. Of other servers nothing is known.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any

from . import uwsgi
from .gevent_support import greenlets_are_threads

_GUNICORN_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGABRT)


def concurrent_requests(environ: Mapping[str, Any]) -> int | None:
    """Returns how many requests this process serves at the same time; ``None`` if it has no bound
    that is known.

    :param environ: the WSGI environment of a request.
    """
    worker = _gunicorn_worker()
    if greenlets_are_threads():
        return None if worker is None else int(worker.cfg.worker_connections)
    if not environ["wsgi.multithread"]:
        return 1
    if worker is not None:
        return int(worker.cfg.threads)
    return uwsgi.thread_count() or _waitress_thread_count() or None


def is_worker_stopping() -> bool:
    """Returns whether the server has begun to stop this process. Known of gunicorn alone."""
    worker = _gunicorn_worker()
    return worker is not None and not worker.alive


def _gunicorn_worker() -> Any:
    if "gunicorn.workers.base" not in sys.modules:
        return None
    for number in _GUNICORN_SIGNALS:
        worker = getattr(signal.getsignal(number), "__self__", None)
        if hasattr(worker, "alive") and hasattr(worker, "cfg"):
            return worker
    return None


def _waitress_thread_count() -> int:
    if "waitress.task" not in sys.modules:
        return 0
    return sum(thread.name.startswith("waitress-") for thread in threading.enumerate())
