"""Decides whether an engine starts with the app, or at the first read of a flag.

A server's worker starts at once, so that signals reach it and its first request finds flags. A
command such as ``flask routes`` does not, nor does the parent process of the development server's
reloader: it serves no request, and its child starts already. A master that loads the app before it
forks its workers does not either: they start by themselves after the fork, no thread is running
while it forks, which Python 3.12 and newer warn of, and it costs no stream of its own.
"""

from __future__ import annotations

import inspect
import sys

import click
from flask import Flask
from flask.cli import FlaskGroup
from flask.helpers import get_debug_flag
from werkzeug.serving import is_running_from_reloader

from .uwsgi import is_uwsgi_master


def should_start(app: Flask) -> bool:
    """Returns whether the engine of an app that is being set up starts with it."""
    if is_running_from_reloader():
        return True
    context = click.get_current_context(silent=True)
    if context is not None and isinstance(context.find_root().command, FlaskGroup):
        reload = context.params.get("reload")
        with_reloader = get_debug_flag() if reload is None else reload
        return context.info_name == "run" and not with_reloader
    # A script may go on to app.run() with the reloader, which nothing shows before that.
    return app.import_name != "__main__"


def is_preloading_master() -> bool:
    """Returns whether this process loads the app for workers that it forks later."""
    return is_uwsgi_master() or _is_gunicorn_master()


def _is_gunicorn_master() -> bool:
    # With preload_app, gunicorn's master loads the app inside this method; a worker does not.
    arbiter = getattr(sys.modules.get("gunicorn.arbiter"), "Arbiter", None)
    setup = getattr(getattr(arbiter, "setup", None), "__code__", None)
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not setup:
        frame = frame.f_back
    return frame is not None
