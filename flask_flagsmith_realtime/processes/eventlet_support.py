"""Refuses eventlet, whose maintainers discourage new uses and plan its retirement.

Its threads are greenlets that no other thread may wake, and its sockets cannot be shut down by
another thread, which is how a stream or a call is ended here. gunicorn has no worker for it any
more.
"""

from __future__ import annotations

import sys

from ..exceptions import ConfigError


def refuse_eventlet() -> None:
    """Raises an error if eventlet has patched the standard library, or is about to.

    :raises ConfigError: with what to use instead.
    """
    patcher = sys.modules.get("eventlet.patcher")
    is_patched = patcher is not None and any(map(patcher.is_monkey_patched, ("thread", "socket")))
    # Older versions of gunicorn have such a worker, which patches after its fork.
    if is_patched or "gunicorn.workers.geventlet" in sys.modules:
        raise ConfigError(
            "eventlet has patched this process, and flags cannot follow Flagsmith under eventlet, "
            "which its maintainers are retiring. Use threads or gevent: with gunicorn "
            "--worker-class gthread or gevent; with Flask-SocketIO async_mode='threading' or "
            "'gevent'."
        )
