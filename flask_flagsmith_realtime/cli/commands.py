"""The commands that read, follow and check flags.

Only ``watch`` starts threads: it needs the stream. Errors go to standard error. The exit status is
1 for an error, which includes a missing app, and 2 for a wrong command line.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import textwrap
from collections.abc import Iterator
from typing import Any

import click
from flask import Flask
from flask.cli import NoAppException, ScriptInfo

from ..app_state import AppState, state_of
from ..doctor import Finding, broken_app, broken_setup
from ..doctor import examine as examine_app
from ..exceptions import FetchError, FlagsmithRealtimeError
from ..reading import Flags
from . import wording
from .watch import follow

#: The exit statuses of ``get``, besides 0 for a feature that is on.
EXIT_OFF = 3
EXIT_UNKNOWN = 4

_LEVEL_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


def _read_traits(
    _context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]
) -> dict[str, Any]:
    traits = {}
    for text in given:
        name, equals, content = text.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{text!r} is not name=value, such as plan=pro.")
        traits[name] = trait_value(content)
    return traits


def trait_value(text: str) -> str | int | float | bool:
    """Parses a trait's value: ``25``, ``2.5``, ``true``; all else, and text in quotes, is text."""
    try:
        read = json.loads(text.lower() if text.lower() in ("true", "false") else text)
    except (ValueError, RecursionError):
        return text
    if isinstance(read, float) and not math.isfinite(read):
        return text
    return read if isinstance(read, (str, int, float)) else text


identity_option = click.option(
    "--identity", metavar="IDENTIFIER", help="The identity; without it, the environment's flags."
)
traits_option = click.option(
    "--trait",
    "traits",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_read_traits,
    help="A trait of the identity, as often as needed. Text in quotes stays text: 'zip=\"0815\"'.",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command("list", short_help="Show all features.")
@identity_option
@traits_option
@_json_option
def list_flags(identity: str | None, traits: dict[str, Any], as_json: bool) -> None:
    """Show all features: on or off, their values, and why.

    Fetches once. If Flagsmith does not answer, shows the flags that the app would serve.

    \b
    Example:
      flask flagsmith list
      flask flagsmith list --identity ann --trait plan=pro --trait age=42
    """
    flags, error = read_flags(load_app(), identity, traits)
    found = sorted(flags.all_flags(), key=lambda flag: flag.feature_name)
    if error is not None and not found:
        raise click.ClickException(str(error))
    if error is not None:
        warn(error)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(flag) for flag in found], indent=2))
    elif found:
        click.echo(wording.table(found))
    else:
        click.echo("The environment has no features.", err=True)


@click.command("get", short_help="Show one feature; the exit status is its state.")
@click.argument("name")
@identity_option
@traits_option
@_json_option
@click.pass_context
def get_flag(
    context: click.Context,
    name: str,
    identity: str | None,
    traits: dict[str, Any],
    as_json: bool,
) -> None:
    """Show one feature, and end with a status that is its state.

    Status 0: it is on. 3: it is off. 4: there is no such feature. 1: unknown, since Flagsmith did
    not answer. 2: the command line is wrong.

    \b
    Example:
      if flask flagsmith get maintenance; then echo "closed"; fi
    """
    flags, error = read_flags(load_app(), identity, traits)
    if name not in flags:
        if error is not None:
            raise click.ClickException(str(error))
        click.echo(f"Error: {_unknown(name, flags)}", err=True)
        context.exit(EXIT_UNKNOWN)
    if error is not None:
        warn(error)
    flag = flags.get_flag(name)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(flag), indent=2))
    else:
        parts = wording.state(flag.enabled), wording.value(flag.value), f"({wording.reason(flag)})"
        click.echo(f"{wording.plain(name)}  {'  '.join(parts)}")
    context.exit(0 if flag.enabled else EXIT_OFF)


@click.command("watch", short_help="Print each change as it arrives.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def watch(as_json: bool) -> None:
    """Print each change as it arrives, until Ctrl-C.

    Changes go to standard output, the state of the stream to standard error. This command listens
    and fetches by itself, outside a fleet.

    \b
    Example:
      flask flagsmith watch
      12:04:07  banner_text  "Hi" → "Bye"
    """
    state = load_app()
    if state.config.offline_file is not None:
        raise click.ClickException(
            "FLAGSMITH_OFFLINE_FILE is set: flags come from that file and never change. Unset it "
            "to follow Flagsmith."
        )
    try:
        follow(state, as_json)
    except FlagsmithRealtimeError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        click.echo(err=True)
    finally:
        state.engine.stop()


@click.command("doctor", short_help="Check everything between app and flags.")
@_json_option
@click.pass_context
def examine(context: click.Context, as_json: bool) -> None:
    """Check settings, network, Flagsmith and its stream.

    Each line is ok, a warning or failed, with advice. Status 1 if a check failed. No secret is
    shown.

    \b
    Example:
      flask flagsmith doctor
    """
    findings = []
    for finding in _findings():
        findings.append(finding)
        if not as_json:
            _print_finding(finding)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    context.exit(1 if any(f.level == "failed" for f in findings) else 0)


def load_app() -> AppState:
    """Loads the command's app, and opens its context until the command ends."""
    try:
        state = _load_state()
    except FlagsmithRealtimeError as error:
        raise click.ClickException(str(error)) from None
    except NoAppException as error:
        # Flask ends with the status of a wrong command line, which a script could not distinguish.
        raise click.ClickException(error.format_message()) from None
    click.get_current_context().with_resource(state.app.app_context())
    return state


def _load_state() -> AppState:
    app: Flask = click.get_current_context().ensure_object(ScriptInfo).load_app()
    return state_of(app)


def read_flags(
    state: AppState, identity: str | None, traits: dict[str, Any]
) -> tuple[Flags, FetchError | None]:
    """Returns flags, read with one fetch and no thread, and the error if the fetch failed."""
    if traits and identity is None:
        raise click.UsageError("--trait belongs to an identity: give --identity, too.")
    error = state.engine.read_once()
    flags = state.flags()
    if identity is not None:
        # Without transient, Flagsmith would store the traits.
        try:
            flags = flags.for_identity(identity, traits, transient=True)
        except ValueError as invalid:
            raise click.UsageError(str(invalid)) from None
    return flags, error


def _findings() -> Iterator[Finding]:
    try:
        state = _load_state()
    except FlagsmithRealtimeError as error:
        yield broken_setup(error)
    except (Exception, SystemExit) as error:
        yield broken_app(error)
    else:
        yield from examine_app(state.app, state.config)


def _unknown(name: str, flags: Flags) -> str:
    nearest = difflib.get_close_matches(name, list(flags), n=1, cutoff=0.6)
    hint = f"Did you mean {nearest[0]!r}?" if nearest else "'flask flagsmith list' shows all."
    return f"The environment has no feature {name!r}. {hint}"


def warn(error: FetchError) -> None:
    click.echo(f"Warning: {error} These are the flags that the app serves meanwhile.", err=True)


def _print_finding(finding: Finding) -> None:
    level = click.style(f"{finding.level:<8}", fg=_LEVEL_COLOURS[finding.level])
    title = f"{level}{finding.check:<10}"
    for text in filter(None, (finding.message, finding.advice)):
        for line in textwrap.wrap(
            wording.plain(text),
            wording.COLUMNS - 18,
            break_long_words=False,
            break_on_hyphens=False,
        ):
            click.echo(title + line)
            title = " " * 18
