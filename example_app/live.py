"""Open pages follow changes: a server-sent event tells them that there is something new.

An event carries no content. The page fetches itself again and takes over what differs, so a page
that was slow, asleep or cut off has missed nothing: one event stands for all before it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from flask import Blueprint, Response
from werkzeug.exceptions import ServiceUnavailable

blueprint = Blueprint("live", __name__)

#: Each open page takes a thread of the server's; gunicorn_conf.py has some more.
MOST_PAGES = 24
#: A line in between shows whether the browser is still there.
HEARTBEAT_SECONDS = 15.0


class News:
    """Passes news from the thread that has them to all who wait for them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._number = 0
        self._epoch: float | None = None
        self._pages = 0
        self._closed = False

    def tell(self, epoch: float | None = None) -> None:
        """Tell all open pages. Never waits for one.

        :param epoch: of the flags that the news are about.
        """
        with self._changed:
            self._number += 1
            self._epoch = epoch or self._epoch
            self._changed.notify_all()

    def close(self) -> None:
        """End all event streams, and let no new one last."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def join(self) -> bool:
        """Say that a page opens. ``False`` if too many are."""
        with self._changed:
            if self._pages == MOST_PAGES:
                return False
            self._pages += 1
            return True

    def leave(self) -> None:
        """Say that a page has closed."""
        with self._changed:
            self._pages -= 1

    def events(self) -> Iterator[str]:
        """The events for one page. The first comes at once: something may have changed since the
        page was made."""
        yield "retry: 1000\n\n"
        seen = -1
        while not self._closed:
            with self._changed:
                if self._number == seen and not self._closed:
                    self._changed.wait(HEARTBEAT_SECONDS)
                told, seen, epoch = self._number != seen, self._number, self._epoch
            yield f"data: {epoch or 0}\n\n" if told else ": still here\n\n"


news = News()


@blueprint.get("/events")
def events() -> Response:
    """The events for one page, for as long as it is open."""
    if not news.join():
        raise ServiceUnavailable("Too many pages are open.")
    response = Response(news.events(), mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would keep events to itself
    response.call_on_close(news.leave)
    return response
