"""Open pages are updated without a reload: a server-sent event notifies them of a change.

An event carries no content. The page fetches itself again and replaces what differs, so one event
is enough for a page that was slow, suspended or disconnected.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from flask import Blueprint, Response
from werkzeug.exceptions import ServiceUnavailable

blueprint = Blueprint("live", __name__)

#: Each open page takes a thread of the server; gunicorn_conf.py has some more.
MOST_PAGES = 24
#: A comment shows whether the browser is still connected.
HEARTBEAT_SECONDS = 15.0


class News:
    """Notifies the event streams of open pages."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._number = 0
        self._epoch: float | None = None
        self._pages = 0
        self._closed = False

    def notify(self, epoch: float | None = None) -> None:
        """Notify all open pages, without waiting for any.

        :param epoch: the epoch of the new flags.
        """
        with self._changed:
            self._number += 1
            self._epoch = epoch or self._epoch
            self._changed.notify_all()

    def close(self) -> None:
        """End all event streams, new ones included."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def join(self) -> bool:
        """Count a page that opens, and return whether there is room for it."""
        with self._changed:
            if self._pages == MOST_PAGES:
                return False
            self._pages += 1
            return True

    def leave(self) -> None:
        """Count a page that has closed."""
        with self._changed:
            self._pages -= 1

    def events(self) -> Iterator[str]:
        """Yield the events for one page. The first comes at once: flags may have changed since the
        page was rendered."""
        yield "retry: 1000\n\n"
        seen = -1
        while not self._closed:
            with self._changed:
                if self._number == seen and not self._closed:
                    self._changed.wait(HEARTBEAT_SECONDS)
                changed, seen, epoch = self._number != seen, self._number, self._epoch
            yield f"data: {epoch or 0}\n\n" if changed else ": heartbeat\n\n"


news = News()


@blueprint.get("/events")
def events() -> Response:
    """Stream events to one page while it is open."""
    if not news.join():
        raise ServiceUnavailable("Too many pages are open.")
    response = Response(news.events(), mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would buffer events
    response.call_on_close(news.leave)
    return response
