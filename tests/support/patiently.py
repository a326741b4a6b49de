"""``python -m tests.support.patiently MODULE …`` runs a module as ``python -m MODULE …`` does, with
time for a busy machine where a user's process must not take any.
"""

from __future__ import annotations

import runpy
import sys

from flask_flagsmith_realtime.cli import watch
from flask_flagsmith_realtime.reporting import reporter
from tests.support.waiting import PATIENCE_SECONDS

if __name__ == "__main__":
    reporter._FAREWELL_SECONDS = PATIENCE_SECONDS
    watch._OUTAGE_SECONDS = PATIENCE_SECONDS
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
