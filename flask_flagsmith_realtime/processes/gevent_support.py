"""Support for gevent: threads and locks from before its patching do not mix with later ones.

Without gevent these functions do nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

_is_watched = False


def greenlets_are_threads() -> bool:
    """Returns whether gevent has patched threads, so that new ones are greenlets."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def greenlets_will_be_threads() -> bool:
    """Returns whether gevent will patch: gunicorn's gevent workers do so after their fork."""
    return "gunicorn.workers.ggevent" in sys.modules and not greenlets_are_threads()


def spawn_greenlet(function: Callable[[], Any]) -> None:
    """Calls a function as soon as gevent's loop runs."""
    sys.modules["gevent"].spawn(function)


def on_patching(before: Callable[[], None], after: Callable[[], None]) -> None:
    """Calls functions before gevent patches and after it. Only the first call registers them."""
    global _is_watched
    if _is_watched or "gevent" not in sys.modules:
        return
    from gevent import events

    def on_event(event: object) -> None:
        if isinstance(event, events.GeventWillPatchAllEvent):
            before()
        elif isinstance(event, events.GeventDidPatchAllEvent):
            after()

    events.subscribers.append(on_event)
    _is_watched = True
