"""What gevent needs: threads and locks from before its patching do not mix with those after it.

Without gevent these functions do nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

_told = False


def greenlets_are_threads() -> bool:
    """Whether gevent has patched threads, so that they are greenlets."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def greenlets_will_be_threads() -> bool:
    """Whether this is a gunicorn of gevent workers, which patches in each worker after its fork."""
    return "gunicorn.workers.ggevent" in sys.modules and not greenlets_are_threads()


def spawn_greenlet(function: Callable[[], Any]) -> None:
    """Have a function called as soon as gevent's loop runs."""
    sys.modules["gevent"].spawn(function)


def tell_of_patching(before: Callable[[], None], after: Callable[[], None]) -> None:
    """Have functions called when gevent is about to patch, and when it has. Once is enough."""
    global _told
    if _told or "gevent" not in sys.modules:
        return
    from gevent import events

    def on_event(event: object) -> None:
        if isinstance(event, events.GeventWillPatchAllEvent):
            before()
        elif isinstance(event, events.GeventDidPatchAllEvent):
            after()

    events.subscribers.append(on_event)
    _told = True
