"""The proof that other threads run while one works."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.support.waiting import PATIENCE_SECONDS

#: One may fall into the time before the work, and one into that after it.
_TURNS_OF_CHANCE = 2


def others_run_during(work: Callable[[], object]) -> bool:
    """Work, and return whether another thread ran meanwhile. It may not, on a busy machine."""
    turns: list[None] = []
    runs, is_over = threading.Event(), threading.Event()

    def take_turns() -> None:
        runs.set()
        while not is_over.wait(0.001):
            turns.append(None)

    thread = threading.Thread(target=take_turns)
    thread.start()
    try:
        assert runs.wait(PATIENCE_SECONDS)
        before = len(turns)
        work()
        return len(turns) - before > _TURNS_OF_CHANCE
    finally:
        is_over.set()
        thread.join(PATIENCE_SECONDS)
