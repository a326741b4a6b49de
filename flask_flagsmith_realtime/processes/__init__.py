"""The process around the app: threads, deadlines, forks, gevent, uWSGI, and when to start.

Knows nothing of flags. Engines register here and are informed of forks and of the process's end.
"""

from __future__ import annotations

from .autostart import is_preloading_master, should_start
from .eventlet_support import refuse_eventlet
from .forks import after_fork, close_after_fork, is_forked, register_engine, watch_gevent
from .gevent_support import greenlets_are_threads, greenlets_will_be_threads, spawn_greenlet
from .per_process import PerProcess
from .threads import join_briefly, start_thread
from .uwsgi import warn_without_uwsgi_threads
from .watchdog import watch
from .workers import concurrent_requests, is_worker_stopping

__all__ = [
    "PerProcess",
    "after_fork",
    "close_after_fork",
    "concurrent_requests",
    "greenlets_are_threads",
    "greenlets_will_be_threads",
    "is_forked",
    "is_preloading_master",
    "is_worker_stopping",
    "join_briefly",
    "refuse_eventlet",
    "register_engine",
    "should_start",
    "spawn_greenlet",
    "start_thread",
    "warn_without_uwsgi_threads",
    "watch",
    "watch_gevent",
]
