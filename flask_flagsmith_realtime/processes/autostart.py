"""Whether a process should listen from its start, or only once it reads a flag.

A server's worker should listen at once, so that signals reach it and its first request finds flags.
A command such as ``flask routes`` should not, nor should the parent process of the development
server's reloader: it serves no request, and the child listens already.
"""

from __future__ import annotations

import click
from flask import Flask
from flask.helpers import get_debug_flag
from werkzeug.serving import is_running_from_reloader


def should_start(app: Flask) -> bool:
    """Whether the engine of an app that is being set up should start by itself."""
    if is_running_from_reloader():
        return True
    context = click.get_current_context(silent=True)
    if context is not None and _is_flask_command(context):
        return context.info_name == "run" and not _with_reloader(context)
    # A script may go on to app.run() with the reloader, and nothing tells before it does.
    return app.import_name != "__main__"


def _is_flask_command(context: click.Context) -> bool:
    from flask.cli import FlaskGroup

    root = context.find_root()
    return isinstance(root.command, FlaskGroup)


def _with_reloader(context: click.Context) -> bool:
    reload = context.params.get("reload")
    return get_debug_flag() if reload is None else bool(reload)
