"""Support for uWSGI, which forks in C and does not run Python's fork handlers by default.

In other servers these functions do nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from .. import logs

logger = logs.SafeLogger(logging.getLogger(__name__))


def register_after_fork(function: Callable[[], None]) -> None:
    """Calls a function in each worker after its fork."""
    if _uwsgi is None:
        return
    try:
        # It keeps the functions of other callers. It needs uWSGI's master process.
        from uwsgidecorators import postfork
    except Exception:
        logger.debug(
            "uWSGI runs without a master process: no fork handlers.",
            extra=logs.fields("uwsgi_without_master"),
        )
    else:
        postfork(function)


def is_uwsgi_master() -> bool:
    """Returns whether this is the master process, which only loads the app for its workers."""
    return _uwsgi is not None and int(_uwsgi.worker_id()) == 0


def warn_without_uwsgi_threads() -> None:
    """Logs a warning if uWSGI runs without Python's threads, as older versions do by default."""
    if _uwsgi is not None and not _uwsgi.has_threads:
        logger.warning(
            "uWSGI runs without Python threads, so flags cannot follow Flagsmith: set "
            "enable-threads = true in uWSGI's configuration.",
            extra=logs.fields("uwsgi_without_threads"),
        )


def thread_count() -> int:
    """Returns the number of threads of each worker; 0 if this is not uWSGI."""
    return 0 if _uwsgi is None else int(_uwsgi.opt.get("threads", 1))


def _import() -> Any:
    try:
        import uwsgi  # a module that exists inside uWSGI only
    except ImportError:
        return None
    # A package of that name may be installed without uWSGI running this process.
    return uwsgi if hasattr(uwsgi, "worker_id") else None


_uwsgi: Any = _import()

#: Only uWSGI forks without running fork handlers.
IS_RUNNING = _uwsgi is not None
