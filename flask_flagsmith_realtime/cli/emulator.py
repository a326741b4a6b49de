"""``flask flagsmith emulator``: the emulator as a command. It needs no app."""

from __future__ import annotations

import click

from ..emulator import main


@click.command(
    "emulator",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True},
    short_help="Run a local Flagsmith.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def emulator(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Run the emulator, which parses its own options."""
    context.exit(main(arguments, prog="flask flagsmith emulator"))
