"""The source of a follower: publishes the flags that the leader has stored in Redis.

Its thread, *flagsmith-follower*, reads Redis and publishes; it also passes webhooks on to the
leader, no more often than the leader would fetch. The fleet's thread calls :meth:`RedisSource.look`
when a message or a heartbeat reports another version; request threads call
:meth:`RedisSource.refresh`. Neither waits. The errors of reads go to
:meth:`.SharedFlags.read_failed`: the fleet's thread acts on them.
"""

from __future__ import annotations

import math
import threading
import time
import traceback

from ..engine import RefreshHint, Source
from .redis_store import RedisStore, StoreError
from .shared import SharedFlags

_RETRY_SECONDS = 1.0


class RedisSource(Source):
    """Follows the leader of a fleet.

    :param min_interval: the shortest time between two hints to the leader, in seconds.
    """

    _thread_name = "flagsmith-follower"

    def __init__(self, store: RedisStore, shared: SharedFlags, min_interval: float) -> None:
        self._store = store
        self._shared = shared
        self._min_interval = min_interval
        self._changed = threading.Condition()
        self._looks = False
        self._hint: RefreshHint | None = None
        self._pass_on_at = -math.inf
        self._closed = False

    def look(self) -> None:
        """Reads the shared flags: there is another version than the known one."""
        with self._changed:
            self._looks = True
            self._changed.notify()

    def refresh(self, hint: RefreshHint) -> None:
        with self._changed:
            self._hint = hint.merged_with(self._hint)
            self._changed.notify()

    def stop(self) -> RefreshHint | None:
        with self._changed:
            self._closed = True
            self._changed.notify()
            hint = self._hint
        if self._thread is not None:
            self._publisher.close()
        return hint

    def _run(self) -> None:
        if self._shared.known is None:
            self.look()
        while not self._is_copy:
            with self._changed:
                if not (self._closed or self._looks or self._is_hint_due()):
                    pass_on_in = self._pass_on_at - time.monotonic()
                    self._changed.wait(None if self._hint is None else max(0.0, pass_on_in))
                if self._closed:
                    return
                looks, self._looks = self._looks, False
                hint = None
                if self._is_hint_due():
                    hint, self._hint = self._hint, None
            if hint is not None:
                self._pass_on(hint)
            if looks:
                self._read()

    def _is_hint_due(self) -> bool:
        return self._hint is not None and self._pass_on_at <= time.monotonic()

    def _read(self) -> None:
        publisher = self._publisher
        try:
            held, environment_id = publisher.held, publisher.environment_id
            stored = self._shared.read(held, environment_id, replaces_damage=False)
            found = self._shared.reconcile(held, stored, leads=False)
            if found is not None:
                publisher.publish(found, fetched=False)
        except StoreError as error:
            self._shared.read_failed(str(error))
        except Exception:
            # The thread survives an unexpected error: without it no change would be seen.
            self._shared.read_failed(f"unexpectedly: {traceback.format_exc()}")

    def _pass_on(self, hint: RefreshHint) -> None:
        """Leaves a note for the leader. If that fails, it is tried again."""
        try:
            self._store.leave_note(hint.moment)
            self._pass_on_at = time.monotonic() + self._min_interval
        except StoreError:
            self._pass_on_at = time.monotonic() + _RETRY_SECONDS
            self.refresh(hint)
