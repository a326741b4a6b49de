"""A program that listens and reconnects without delay: ``python -m tests.faults.reconnecting CONFIG
ENVIRONMENT_ID``. For each line that it reads, it prints the resources that it uses, as JSON.
"""

from __future__ import annotations

import gc
import json
import os
import re
import sys
import threading
from pathlib import Path
from typing import Any

from flask_flagsmith_realtime.client.backoff import Reconnect
from flask_flagsmith_realtime.config.settings import read_config
from flask_flagsmith_realtime.engine.listener import Listener
from flask_flagsmith_realtime.engine.mailbox import Mailbox
from flask_flagsmith_realtime.monitoring.activity import Activity


class WithoutDelay(Reconnect):
    """Reconnects without delay."""

    def after_connection(self, *args: Any) -> tuple[float, Reconnect]:
        return 0.0, WithoutDelay()

    def after_failure(self, *args: Any, **more: Any) -> tuple[float, Reconnect]:
        return 0.0, WithoutDelay()

    def after_refusal(self, *args: Any) -> tuple[float, Reconnect]:
        return 0.0, WithoutDelay()


def measure() -> dict[str, int]:
    """Return the resources that this process uses, once its log is written."""
    for thread in threading.enumerate():
        if thread.name == "flagsmith-log":
            thread.join()
    gc.collect()
    status = Path("/proc/self/status").read_text()
    memory = re.search(r"VmRSS:\s+(\d+)", status)
    assert memory is not None
    return {
        "threads": threading.active_count(),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "memory_kib": int(memory[1]),
    }


def main() -> None:
    """Listen until standard input ends."""
    config, environment_id = sys.argv[1:]
    mailbox = Mailbox()
    listener = Listener(read_config(json.loads(config)), mailbox, Activity(), WithoutDelay())
    threading.Thread(target=listener.run, args=(environment_id,), daemon=True).start()
    for _ in sys.stdin:
        mailbox.take(0)
        print(json.dumps(measure()), flush=True)
    listener.stop()


if __name__ == "__main__":
    main()
