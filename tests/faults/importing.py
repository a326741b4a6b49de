"""A program that follows Flagsmith and prints the modules that its threads have loaded, as JSON:
``python -m tests.faults.importing``, configured by environment variables.
"""

from __future__ import annotations

import json
import sys
import threading

from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime, Identity, flags, flags_changed
from tests.support.waiting import PATIENCE_SECONDS


def main() -> None:
    """Follow until standard input has a line."""
    app = Flask(__name__)
    app.config.from_prefixed_env()
    extension = FlagsmithRealtime(app)
    changed = threading.Event()

    @flags_changed.connect_via(app)
    def note(app: Flask, **_: object) -> None:
        flags.for_identity(Identity("ada", {"plan": "pro"})).all_flags()
        changed.set()

    loaded = set(sys.modules)
    extension.start(app)
    changed.wait(PATIENCE_SECONDS)
    sys.stdin.readline()
    print(json.dumps(sorted(set(sys.modules) - loaded)))


if __name__ == "__main__":
    main()
