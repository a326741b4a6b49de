"""``flask flagsmith``: the commands.

They are there for every app with the extension. Where this package is installed they are found
without the app, too, so that ``doctor`` can say what is wrong with an app that does not load.

None starts a thread but ``watch``, which needs the stream, and ``emulator``. Errors go to standard
error and end with status 1, also that there is no app; a wrong command line ends with 2.
"""

from __future__ import annotations

import dataclasses
import difflib
import io
import json
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from flask import Flask
from flask.cli import AppGroup, NoAppException, ScriptInfo

from ..app_state import AppState, state_of
from ..doctor import Finding, Level
from ..exceptions import FetchError, FlagsmithRealtimeError
from ..model import Flag
from ..reading import Flags
from . import watch as watching
from . import wording

#: What ``get`` ends with, besides 0 for a feature that is on.
EXIT_OFF = 3
EXIT_UNKNOWN = 4

_LEVEL_COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.FAILED: "red"}


@click.group("flagsmith", cls=AppGroup, short_help="Flagsmith feature flags.")
def flagsmith() -> None:
    """Read, follow and check the app's Flagsmith feature flags."""
    for stream in (sys.stdout, sys.stderr):
        # Not every terminal has an arrow, nor every letter of a feature's value.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


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
    """Read a trait's value: ``25``, ``2.5``, ``true``; anything else, or in quotes, is text."""
    try:
        read = json.loads(text.lower() if text.lower() in ("true", "false") else text)
    except (ValueError, RecursionError):
        return text
    if isinstance(read, float) and not math.isfinite(read):
        return text
    return read if isinstance(read, (str, int, float)) else text


_identity_option = click.option(
    "--identity", metavar="IDENTIFIER", help="Whose flags; without it, the environment's."
)
_traits_option = click.option(
    "--trait",
    "traits",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_read_traits,
    help="A trait of the identity, as often as needed. Text in quotes stays text: 'zip=\"0815\"'.",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@flagsmith.command("list", with_appcontext=False, short_help="Show all features.")
@_identity_option
@_traits_option
@_json_option
def list_flags(identity: str | None, traits: dict[str, Any], as_json: bool) -> None:
    """Show all features: on or off, their values, and why.

    Asks Flagsmith once. If it does not answer, shows what the app would serve then.

    \b
    Example:
      flask flagsmith list
      flask flagsmith list --identity ann --trait plan=pro --trait age=42
    """
    flags, trouble = _read(_load_app(), identity, traits)
    found = sorted(flags.all_flags(), key=lambda flag: flag.feature_name)
    if trouble is not None and not found:
        raise click.ClickException(str(trouble))
    if trouble is not None:
        _note(trouble)
    if as_json:
        click.echo(json.dumps([_as_dict(flag) for flag in found], indent=2))
    elif found:
        click.echo(wording.table(found))
    else:
        click.echo("The environment has no features.", err=True)


@flagsmith.command(
    "get", with_appcontext=False, short_help="Show one feature; the status tells its state."
)
@click.argument("name")
@_identity_option
@_traits_option
@_json_option
@click.pass_context
def get_flag(
    context: click.Context,
    name: str,
    identity: str | None,
    traits: dict[str, Any],
    as_json: bool,
) -> None:
    """Show one feature, and end with a status that tells whether it is on.

    Status 0: it is on. 3: it is off. 4: there is no such feature. 1: nothing is known of it, since
    Flagsmith did not answer. 2: the command line is wrong.

    \b
    Example:
      if flask flagsmith get maintenance; then echo "closed"; fi
    """
    flags, trouble = _read(_load_app(), identity, traits)
    if name not in flags:
        if trouble is not None:
            raise click.ClickException(str(trouble))
        click.echo(f"Error: {_unknown(name, flags)}", err=True)
        context.exit(EXIT_UNKNOWN)
    if trouble is not None:
        _note(trouble)
    flag = flags.get_flag(name)
    if as_json:
        click.echo(json.dumps(_as_dict(flag), indent=2))
    else:
        parts = wording.state(flag), wording.value(flag.value), f"({wording.reason(flag)})"
        click.echo(f"{wording.plain(name)}  {'  '.join(parts)}")
    context.exit(0 if flag.enabled else EXIT_OFF)


@flagsmith.command("watch", with_appcontext=False, short_help="Print each change as it arrives.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def watch(as_json: bool) -> None:
    """Print each change as it arrives, until Ctrl-C.

    Changes go to standard output; whether the stream is up goes to standard error. It is no member
    of a fleet: it listens and fetches for itself.

    \b
    Example:
      flask flagsmith watch
      12:04:07  banner_text  "Hi" → "Bye"
    """
    state = _load_app()
    if state.config.offline_file is not None:
        raise click.ClickException(
            "FLAGSMITH_OFFLINE_FILE is set: flags come from that file and never change. Unset it "
            "to follow Flagsmith."
        )
    try:
        for news in watching.follow(state):
            if isinstance(news, watching.StreamNews):
                click.echo(news.message, err=True)
            else:
                click.echo(json.dumps(news.as_dict()) if as_json else news.as_text())
    except FlagsmithRealtimeError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        # How a person ends it.
        click.echo(err=True)
    finally:
        state.realtime.stop()


@flagsmith.command(
    "doctor", with_appcontext=False, short_help="Check everything between app and flags."
)
@_json_option
@click.pass_context
def examine(context: click.Context, as_json: bool) -> None:
    """Check settings, network, Flagsmith, its stream and the server's set-up.

    Each line is ok, a warning or failed, with what to do about it. Status 1 if something failed.
    No secret is shown.

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
        found = [{**dataclasses.asdict(f), "level": f.level.value} for f in findings]
        click.echo(json.dumps(found, indent=2))
    context.exit(1 if any(f.level is Level.FAILED for f in findings) else 0)


@flagsmith.command(
    "emulator",
    with_appcontext=False,
    add_help_option=False,
    context_settings={"ignore_unknown_options": True},
    short_help="Run a local Flagsmith.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def emulator(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Run the emulator, which reads its options by itself. It needs no app."""
    # Servers that only serve an app need not load it.
    from ..emulator.__main__ import main

    context.exit(main(arguments, prog="flask flagsmith emulator"))


def _load_app() -> AppState:
    """What the extension keeps for the command's app, whose context is open from now on."""
    context = click.get_current_context()
    try:
        app: Flask = context.ensure_object(ScriptInfo).load_app()
        state = state_of(app)
    except FlagsmithRealtimeError as error:
        raise click.ClickException(str(error)) from None
    except NoAppException as error:
        # Flask calls it a wrong command line; a script could not tell it from one.
        raise click.ClickException(error.format_message()) from None
    context.with_resource(app.app_context())
    return state


def _read(
    state: AppState, identity: str | None, traits: dict[str, Any]
) -> tuple[Flags, FetchError | None]:
    """Read flags as a command does: one fetch, no thread.

    :returns: the flags, and why Flagsmith could not be asked for them.
    """
    if traits and identity is None:
        raise click.UsageError("--trait says something of an identity: give --identity, too.")
    trouble = state.realtime.read_once()
    flags = state.flags()
    if identity is not None:
        # A command that looks must not write: without transient, Flagsmith would keep the traits.
        try:
            flags = flags.for_identity(identity, traits, transient=True)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
    return flags, trouble


def _findings() -> Iterator[Finding]:
    from ..doctor import broken_app, broken_setup, examine

    try:
        app: Flask = click.get_current_context().ensure_object(ScriptInfo).load_app()
        state = state_of(app)
    except FlagsmithRealtimeError as error:
        yield broken_setup(error)
        return
    except (Exception, SystemExit) as error:
        yield broken_app(error)
        return
    yield from examine(app, state.config, Path.cwd(), os.environ)


def _unknown(name: str, flags: Flags) -> str:
    nearest = difflib.get_close_matches(name, list(flags), n=1, cutoff=0.6)
    hint = f"Did you mean {nearest[0]!r}?" if nearest else "'flask flagsmith list' shows all."
    return f"The environment has no feature {name!r}. {hint}"


def _as_dict(flag: Flag) -> dict[str, Any]:
    return dataclasses.asdict(flag)


def _note(trouble: FetchError) -> None:
    click.echo(f"Warning: {trouble} Shown is what the app serves meanwhile.", err=True)


def _print_finding(finding: Finding) -> None:
    level = click.style(f"{finding.level.value:<8}", fg=_LEVEL_COLOURS[finding.level])
    first, *others = wording.paragraph(finding.check, finding.message, finding.advice)
    click.echo(level + first)
    for line in others:
        click.echo(" " * 8 + line)
