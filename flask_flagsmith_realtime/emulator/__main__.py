"""``python -m flask_flagsmith_realtime.emulator``."""

from __future__ import annotations

import argparse
import sys

from .command import DEFAULT_PORT, run


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(
        prog="python -m flask_flagsmith_realtime.emulator",
        description="A local Flagsmith: its API, its stream, and a page to change flags on.",
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
        help="keep the flags in this JSON file, made from a sample if it does not exist",
    )
    arguments = parser.parse_args()
    return run(arguments.port, arguments.state)


if __name__ == "__main__":
    sys.exit(main())
