"""Writes snapshot files in children that die at any byte, at any time, and beside each other.

``python snapshot_writers.py <scenario> <path>`` prints what was found, as JSON. It is a process
of its own because it forks.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
from collections import Counter
from collections.abc import Callable

from flask_flagsmith_realtime.model.snapshot import Snapshot
from flask_flagsmith_realtime.storage.archive import pack
from flask_flagsmith_realtime.storage.snapshot_file import SnapshotFile
from tests.support import recorded
from tests.support.snapshots import snapshot_of_document

KEY = "ser.key"


def snapshot(epoch: float) -> Snapshot:
    return snapshot_of_document(recorded.environment_document(), epoch, 2.0)


OLD, NEW = snapshot(1.0), snapshot(2.0)


def in_child(work: Callable[[], object]) -> int:
    """Start a child that works and then ends, and return its process id."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def found(file: SnapshotFile) -> str:
    """Which snapshot is read."""
    read = file.read()
    return "nothing" if read is None else {1.0: "old", 2.0: "new"}[read.epoch or 0.0]


def dying_at_any_byte(path: str) -> dict[str, int]:
    """The kernel kills a child at the byte that would make its file larger than its limit."""
    file, results = SnapshotFile(path, KEY), Counter[str]()
    size = len(pack(NEW, KEY))
    for limit in sorted({0, 1, size - 1, size, *random.Random(1).sample(range(size), 20)}):

        def write(limit: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            file.write(NEW)

        file.write(OLD)
        _, status = os.waitpid(in_child(write), 0)
        ending = "killed" if os.WIFSIGNALED(status) else "done"
        results[f"{ending}, {found(file)}"] += 1
    return results


def killed_at_any_time(path: str) -> dict[str, int]:
    """A child writes over and over, until it is killed."""
    file, results = SnapshotFile(path, KEY), Counter[str]()
    file.write(OLD)
    source = random.Random(2)
    watching, writing = os.pipe()

    def write_for_ever() -> None:
        os.write(writing, b".")
        while True:
            file.write(NEW)
            file.write(OLD)

    for _ in range(40):
        child = in_child(write_for_ever)
        os.read(watching, 1)
        for _ in range(source.randrange(30_000)):
            pass  # Far shorter than any sleep is.
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        results[found(file)] += 1
    return results


def beside_each_other(path: str) -> dict[str, int]:
    """Two children write different snapshots, while this process reads."""
    file, results = SnapshotFile(path, KEY), Counter[str]()

    def write(written: Snapshot) -> None:
        for _ in range(150):
            file.write(written)

    file.write(OLD)
    children = {in_child(lambda: write(OLD)), in_child(lambda: write(NEW))}
    while children:
        results[found(file)] += 1
        child, _ = os.waitpid(-1, os.WNOHANG)
        children.discard(child)
    return results


SCENARIOS = {
    function.__name__: function
    for function in (dying_at_any_byte, killed_at_any_time, beside_each_other)
}

if __name__ == "__main__":
    print(json.dumps(SCENARIOS[sys.argv[1]](sys.argv[2])))
