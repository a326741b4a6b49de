"""The doctor's look at the server: how it forks and threads, as far as its files tell.

It reads ``gunicorn.conf.py``, ``GUNICORN_CMD_ARGS`` and ``uwsgi.ini``, and runs none of them. What
a command line says elsewhere, it cannot know.
"""

from __future__ import annotations

import argparse
import ast
import configparser
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .findings import Finding, failed, ok, warning

GUNICORN_FILE = "gunicorn.conf.py"
GUNICORN_VARIABLE = "GUNICORN_CMD_ARGS"
UWSGI_FILE = "uwsgi.ini"

_CHECK = "server"
#: The worker classes that this package is tested with.
_TESTED_WORKERS = ("sync", "gthread", "gevent")
_OFF = ("false", "0", "no", "off")


def examine(directory: Path, environ: Mapping[str, str], shares_a_stream: bool) -> list[Finding]:
    """Look at the set-up that lies in a directory.

    :param environ: the environment variables.
    :param shares_a_stream: whether FLAGSMITH_REDIS_URL is set.
    """
    findings: list[Finding] = []
    try:
        gunicorn_file = _text(directory / GUNICORN_FILE)
        uwsgi_file = _text(directory / UWSGI_FILE)
    except (OSError, UnicodeDecodeError) as error:
        return [warning(_CHECK, f"its set-up cannot be read ({error})", "Check that file.")]
    arguments = environ.get(GUNICORN_VARIABLE)
    if gunicorn_file is not None or arguments:
        findings += diagnose_gunicorn(gunicorn_file or "", arguments or "", shares_a_stream)
    if uwsgi_file is not None:
        findings += diagnose_uwsgi(uwsgi_file, shares_a_stream)
    if not findings:
        findings.append(
            ok(
                _CHECK,
                f"no {GUNICORN_FILE} and no {UWSGI_FILE} in this directory: nothing to check",
            )
        )
    return findings


def diagnose_gunicorn(text: str, arguments: str, shares_a_stream: bool) -> list[Finding]:
    """Judge Gunicorn's set-up.

    :param text: what gunicorn.conf.py holds.
    :param arguments: what GUNICORN_CMD_ARGS holds; that counts more, as for Gunicorn.
    """
    try:
        settings = {**_gunicorn_file(text), **_gunicorn_arguments(arguments)}
    except (SyntaxError, ValueError) as error:
        return [
            warning(
                _CHECK,
                f"{GUNICORN_FILE} or {GUNICORN_VARIABLE} cannot be read ({error})",
                "Mend it: Gunicorn will not read it either.",
            )
        ]
    worker, workers = settings.get("worker_class", "sync"), settings.get("workers", 1)
    how = f"Gunicorn, {_count(workers)}"
    if worker is not None:
        how += f" of class {worker}"
    if settings.get("preload_app"):
        how += ", preloaded: each one starts its own listener after the fork"
    if isinstance(worker, str) and worker not in _TESTED_WORKERS:
        return [
            warning(
                _CHECK,
                how,
                "This package is tested with the classes sync, gthread and gevent. Watch the log "
                "for changes that arrive, or use one of these.",
            )
        ]
    return [ok(_CHECK, how, _sharing_hint(workers, shares_a_stream))]


def diagnose_uwsgi(text: str, shares_a_stream: bool) -> list[Finding]:
    """Judge uWSGI's set-up.

    :param text: what uwsgi.ini holds.
    """
    parser = configparser.ConfigParser(
        allow_no_value=True, delimiters=("=",), interpolation=None, strict=False
    )
    try:
        parser.read_string(text)
        settings = dict(parser.items("uwsgi"))
    except configparser.Error as error:
        reason = str(error).splitlines()[0]
        return [warning(_CHECK, f"{UWSGI_FILE} cannot be read ({reason})", "Check that file.")]
    return list(_diagnose_uwsgi(settings, shares_a_stream))


def _diagnose_uwsgi(settings: Mapping[str, str | None], shares_a_stream: bool) -> Iterator[Finding]:
    workers = settings.get("processes") or settings.get("workers") or "1"
    if not (_is_on(settings, "enable-threads") or _is_on(settings, "threads")):
        yield failed(
            _CHECK,
            "uWSGI runs without Python's threads: flags cannot follow Flagsmith",
            f"Add 'enable-threads = true' to {UWSGI_FILE}.",
        )
    elif not _is_on(settings, "master") and not _is_on(settings, "lazy-apps"):
        yield warning(
            _CHECK,
            "uWSGI runs without a master process: nothing tells a worker that it was forked",
            "A worker follows Flagsmith from its first read of a flag on. Add 'master = true' to "
            f"{UWSGI_FILE}, and it does from its start.",
        )
    else:
        yield ok(
            _CHECK,
            f"uWSGI, {_count(workers)} with threads",
            _sharing_hint(workers, shares_a_stream),
        )


def _gunicorn_file(text: str) -> dict[str, Any]:
    """The plain assignments of a configuration that is written in Python."""
    settings: dict[str, Any] = {}
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    settings[target.id] = _constant(statement.value)
    return settings


def _constant(expression: ast.expr) -> Any:
    try:
        return ast.literal_eval(expression)
    except (ValueError, TypeError):
        # It is worked out when Gunicorn starts.
        return None


def _gunicorn_arguments(arguments: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--preload", dest="preload_app", action="store_true", default=None)
    parser.add_argument("-k", "--worker-class", dest="worker_class")
    parser.add_argument("-w", "--workers", dest="workers", type=int)
    try:
        known, _ = parser.parse_known_args(shlex.split(arguments))
    except argparse.ArgumentError as error:
        raise ValueError(str(error)) from None
    return {name: setting for name, setting in vars(known).items() if setting is not None}


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _is_on(settings: Mapping[str, str | None], name: str) -> bool:
    if name not in settings:
        return False
    setting = settings[name]
    return setting is None or setting.lower() not in _OFF


def _count(workers: Any) -> str:
    if not str(workers).isdigit():
        return "workers"
    return "1 worker" if int(workers) == 1 else f"{workers} workers"


def _sharing_hint(workers: Any, shares_a_stream: bool) -> str | None:
    if shares_a_stream or not str(workers).isdigit() or int(workers) < 2:
        return None
    return (
        f"Each worker has a stream of its own and fetches each change by itself, so a change costs "
        f"{workers} calls of the API. FLAGSMITH_REDIS_URL lets them share one."
    )
