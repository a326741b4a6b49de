"""``flask flagsmith browser-state``: all that the app would give to a browser."""

from __future__ import annotations

import json
from typing import Any

import click

from ..exceptions import FlagsmithRealtimeError
from ..reading import flags_for_browser
from .commands import identity_option, load_app, read_flags, traits_option, warn


@click.command("browser-state", short_help="Show what flags.for_browser() gives to a browser.")
@identity_option
@traits_option
@click.option("--traits", "with_traits", is_flag=True, help="As for_browser(traits=True) does.")
@click.argument("names", nargs=-1)
def browser_state(
    identity: str | None, traits: dict[str, Any], with_traits: bool, names: tuple[str, ...]
) -> None:
    """Show what flags.for_browser() gives to a browser, as JSON.

    NAMES are those of features; without them, all features that a browser may have. The features
    that it must not have go to standard error, with the reason.

    \b
    Example:
      flask flagsmith browser-state
      flask flagsmith browser-state --identity ann --trait plan=pro
    """
    state = load_app()
    flags, error = read_flags(state, identity, traits)
    if error is not None:
        warn(error)
    try:
        with state.app.test_request_context():
            shown = flags.for_browser(*names, traits=with_traits)
    except FlagsmithRealtimeError as hidden:
        raise click.ClickException(str(hidden)) from None
    click.echo(json.dumps(shown, indent=2))
    found = flags_for_browser(flags)
    for flag in found.mapping.values():
        reason = found.reason_to_hide(flag)
        if reason is not None:
            click.echo(f"Not in a browser: {flag.feature_name}: {reason}.", err=True)
