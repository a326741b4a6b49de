"""The emulator as a program: starts it, says how to use it, and ends it on Ctrl-C."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from types import FrameType

from .emulator import Emulator
from .server import ServerError
from .state import StateFileError

DEFAULT_PORT = 5001


def run(port: int = DEFAULT_PORT, state: str | None = None) -> int:
    """Run an emulator until the process is told to end. To be called in the main thread.

    :param port: the port to listen on; 0 takes a free one.
    :param state: the state file; without one, nothing is kept.
    :returns: the exit status.
    """
    over = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        over.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    try:
        with Emulator(port, state) as emulator:
            print(introduction(emulator, state), flush=True)
            over.wait()
    except (ServerError, StateFileError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def introduction(emulator: Emulator, state: str | None) -> str:
    """What to know about a running emulator."""
    document = emulator.document
    kept = state or "in memory, gone at the end; --state FILE keeps it"
    exports = "\n".join(
        f"  export FLASK_{name}={shlex.quote(value)}" for name, value in emulator.config.items()
    )
    return f"""\
Flagsmith emulator: {document["project"].get("name", "project")}, {document["name"]}

  Page             {emulator.url}
  Client-side key  {emulator.client_side_key}
  Server-side key  {emulator.server_side_key}
  State            {kept}

Point an app that calls app.config.from_prefixed_env() at it:

{exports}

Ctrl-C ends it."""
