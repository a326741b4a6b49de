"""``python -m flask_flagsmith_realtime.emulator``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .command import DEFAULT_PORT, run


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


if __name__ == "__main__":
    sys.exit(main())
