"""The commands ``flask flagsmith …``: a click group that imports each command when it is used.

Every start of an app imports this group, and few starts run a command. The commands exist for
every app with the extension. The entry point ``flask.commands`` provides them without an app, too,
so that ``doctor`` can examine an app that does not load.
"""

from __future__ import annotations

import io
import sys

import click
from werkzeug.utils import import_string

__all__ = ["flagsmith"]

#: The module and the name of each command.
_COMMANDS = {
    "browser-state": "browser_state:browser_state",
    "list": "commands:list_flags",
    "get": "commands:get_flag",
    "watch": "commands:watch",
    "doctor": "commands:examine",
    "emulator": "emulator:emulator",
}


class LazyGroup(click.Group):
    """A group that imports a command when it is used, or listed with its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        path = _COMMANDS.get(cmd_name)
        return None if path is None else import_string(f"{__name__}.{path}")


@click.group("flagsmith", cls=LazyGroup, short_help="Flagsmith feature flags.")
def flagsmith() -> None:
    """Read, follow and check the app's Flagsmith feature flags."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal's encoding may lack the arrow, or characters of a feature's value.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
