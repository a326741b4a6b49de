"""The emulator as a program, which ends on Ctrl-C."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType

from .emulator import Emulator
from .server import ServerError
from .state import StateFileError

DEFAULT_PORT = 5001

#: How often the main thread looks for a signal where a signal does not interrupt its wait: Windows.
_LOOK_SECONDS = 0.5

#: The signals that end the program. Windows has SIGBREAK for Ctrl-Break.
_SIGNALS = ("SIGINT", "SIGTERM", "SIGBREAK")


def main(
    arguments: Sequence[str] | None = None,
    prog: str = "python -m flask_flagsmith_realtime.emulator",
) -> int:
    """Parse the command line and run the emulator.

    :param arguments: the command line; that of this process if not given.
    :param prog: the name of the program in its help.
    :returns: the exit status.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description="A local Flagsmith: its API, its stream, and a page to change flags on.",
        epilog=f"Example: {prog} --state flags.json",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        help="the port on 127.0.0.1; 0 takes a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--state",
        metavar="FILE",
        help="keep the flags in this JSON file, which is made from a sample if it does not exist",
    )
    options = parser.parse_args(arguments)
    return run(options.port, options.state)


def run(port: int = DEFAULT_PORT, state: str | None = None) -> int:
    """Run an emulator until SIGINT or SIGTERM. It must be called in the main thread.

    :param port: the port to listen on; 0 takes a free one.
    :param state: the path of the state file; without one, changes are lost at the end.
    :returns: the exit status.
    """
    over = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        over.set()

    for name in _SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), end)
    try:
        with Emulator(port, state) as emulator:
            print(introduction(emulator, state), flush=True)
            while not over.wait(_LOOK_SECONDS):
                pass
    except (ServerError, StateFileError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def introduction(emulator: Emulator, state: str | None) -> str:
    """Return the text that the program prints at its start."""
    document = emulator.document
    stored = state or "in memory, lost at the end; --state FILE keeps it"
    exports = "\n".join(
        f"  {_assignment(f'FLASK_{name}', value)}" for name, value in emulator.config.items()
    )
    return f"""\
Flagsmith emulator: {document["project"].get("name", "project")}, {document["name"]}

  Page             {emulator.url}
  Client-side key  {emulator.client_side_key}
  Server-side key  {emulator.server_side_key}
  State            {stored}

Settings for an app that calls app.config.from_prefixed_env():

{exports}

Ctrl-C ends the emulator."""


def _assignment(name: str, value: str) -> str:
    """Return the command that sets a variable, in PowerShell on Windows."""
    if os.name == "nt":
        return f"$env:{name} = '{value}'"
    return f"export {name}={shlex.quote(value)}"
