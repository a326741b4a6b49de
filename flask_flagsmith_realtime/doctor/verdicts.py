"""The findings that follow from settings and answers. Pure but for a look at a directory's
permissions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..client import ChangeEvent, MalformedEvent, StreamError, StreamRefusedError
from ..config import PREFIX, Config, unknown_settings
from ..model import Document, Snapshot, may_hide_newer
from . import network
from .findings import Finding, failed, ok, warning

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_MOST_SKEW_SECONDS = 10.0
#: The longest time that an API may serve an old epoch, and a process may need to store a new one.
_SETTLED_SECONDS = 120.0
_SHORT_SECRET = 16


def diagnose_browser(config: Config) -> Finding:
    """Says how open pages follow changes. Which server runs the app cannot be seen from here."""
    if config.browser_streams == 0:
        return ok("browser", "open pages poll every 30 s: FLAGSMITH_BROWSER_STREAMS is 0")
    return ok(
        "browser",
        f"at most {config.browser_streams} event streams to open pages in each process",
        "A worker that serves one request at a time, such as gunicorn's sync worker, opens none: "
        "pages then poll every 30 s. Use gunicorn --worker-class gthread --threads 32, or gevent. "
        "A quarter of a process's threads stays free.",
    )


def diagnose_settings(settings: Mapping[str, Any]) -> Iterator[Finding]:
    """Checks the names of the app's settings; ``init_app`` has checked their values."""
    unknown = unknown_settings(settings)
    for name, hint in unknown.items():
        yield warning("settings", f"{name} is not a setting of this package", hint)
    known = sorted(name for name in settings if name.startswith(PREFIX) and name not in unknown)
    if known:
        yield ok("settings", ", ".join(known))


def diagnose_key(config: Config) -> Finding:
    """Names the kind of the key and the kind of evaluation."""
    if config.local_evaluation:
        return ok("key", f"{config.key_kind}: local evaluation, in this process")
    return ok(
        "key",
        f"{config.key_kind}: remote evaluation",
        "Flagsmith evaluates the flags of identities, at a call each. To evaluate them in this "
        "process, use a server-side key; it starts with 'ser.'.",
    )


def diagnose_addresses(config: Config) -> Iterator[Finding]:
    """Checks that the API and the stream belong together, and that the way to the API is
    private."""
    hosted = [_is_hosted(url) for url in (config.api_url, config.realtime_api_url)]
    if config.enable_realtime_updates and hosted[0] != hosted[1]:
        yield warning(
            "settings",
            f"the API is {_host(config.api_url)} and the stream {_host(config.realtime_api_url)}: "
            "one is the hosted service, the other is not",
            "Set FLAGSMITH_API_URL and FLAGSMITH_REALTIME_API_URL to the same Flagsmith; without a "
            "stream of its own, set FLAGSMITH_ENABLE_REALTIME_UPDATES to False.",
        )
    if config.api_url.startswith("http://") and _host(config.api_url) not in _LOOPBACK:
        yield warning(
            "TLS",
            f"the API at {_host(config.api_url)} is called over http://, which every machine on "
            "the way can read and change",
            "Use https:// unless that network is your own: API calls carry the key.",
        )


def diagnose_answer(snapshot: Snapshot, seconds: float, now: float) -> Finding:
    """Checks the API's answer.

    :param seconds: the time that the call took.
    :param now: the time, in seconds since 1970.
    """
    count = len(snapshot.flags)
    message = f"{count} features in {seconds * 1000:.0f} ms"
    if snapshot.epoch is None:
        return warning(
            "API",
            f"{message}, but no epoch: it does not say when the environment changed",
            "Each event of the stream then costs a call. A gateway may drop the header "
            "X-Flagsmith-Document-Updated-At; let it through.",
        )
    return ok("API", f"{message}; epoch {snapshot.epoch:.3f}, {_date(snapshot.epoch, now)}")


def diagnose_clock(snapshot: Snapshot, seconds: float) -> Finding:
    """Compares this machine's clock with the server's, by an answer that has just come.

    :param seconds: the time that the call took.
    """
    if snapshot.server_date is None:
        return warning(
            "clock", "the API does not send its time", "Check this machine's clock by other means."
        )
    ahead = snapshot.server_date - (snapshot.fetched_at - seconds / 2)
    if abs(ahead) <= _MOST_SKEW_SECONDS:
        return ok("clock", "agrees with the API's to the second or so")
    direction = "behind" if ahead > 0 else "ahead of"
    return warning(
        "clock",
        f"this machine's clock is {abs(ahead):.0f} s {direction} the API's",
        "Ages of flags and times in logs will mislead. Let NTP set it.",
    )


def diagnose_defaults(config: Config, snapshot: Snapshot) -> Iterator[Finding]:
    """Finds defaults that keep a feature on although Flagsmith may only hide it.

    A client-side key gets no disabled features where the environment hides them; with a server-side
    key, the document has all features.
    """
    missing = [
        name for name, flag in config.defaults.items() if flag and name not in snapshot.flags
    ]
    if missing and not config.local_evaluation:
        yield warning(
            "defaults",
            f"on by FLAGSMITH_DEFAULTS, and missing in the answer: {', '.join(missing)}",
            "If 'Hide disabled flags' is on for the environment or the project, they are disabled "
            "on Flagsmith and served as on. Turn it off, or let their default be False.",
        )


def diagnose_environment(document: Document) -> Iterator[Finding]:
    """Checks the settings on Flagsmith that the environment document holds."""
    project = document.project
    title = f"{document.name!r} of {project.name or 'a project'!r}"
    switch = project.enable_realtime_updates
    if switch is None:
        yield ok("project", f"{title}; it does not say if real-time updates are on")
    elif switch:
        yield ok("project", f"{title}; real-time updates are on")
    else:
        yield warning(
            "project",
            f"{title}; real-time updates are off",
            "Turn on 'Enable real-time updates' in the project's settings on Flagsmith, under SDK "
            "settings. Plans without them ignore that switch.",
        )
    if document.settings.use_identity_overrides_in_local_eval is False:
        yield warning(
            "overrides",
            "overrides for single identities are not part of the environment document",
            "Turn on 'Use identity overrides in local evaluation' in the environment's settings, "
            "or such overrides have no effect in this app.",
        )
    if document.settings.use_identity_composite_key_for_hashing is False:
        yield warning(
            "splits",
            "percentage splits differ from those that Flagsmith evaluates",
            "Turn on 'Use consistent hashing' in the environment's settings. Identities can then "
            "move to another variant, once.",
        )


def diagnose_kept(kept: Snapshot, answered: Snapshot, now: float) -> Iterator[Finding]:
    """Compares the API's answer with the snapshot that the app's processes stored last.

    :param now: the time, in seconds since 1970.
    """
    if kept.environment_id != answered.environment_id:
        yield failed(
            "file",
            "FLAGSMITH_SNAPSHOT_FILE and the API's answer, with the same key, are of different "
            "environments",
            "The app refuses another environment's flags. Look for a cache between this machine "
            "and Flagsmith that ignores the header X-Environment-Key.",
        )
    elif kept.epoch is not None and answered.epoch is not None:
        behind = answered.epoch - kept.epoch
        if behind > 0 and now - answered.epoch > _SETTLED_SECONDS:
            yield warning(
                "file",
                f"FLAGSMITH_SNAPSHOT_FILE is {behind:.0f} s behind the API's answer",
                "If the app is running, its flags are frozen: look at its log and at "
                "/flagsmith/health/ready.",
            )


def diagnose_greeting(greeting: ChangeEvent | MalformedEvent | None, held: float | None) -> Finding:
    """Compares the stream's first event with the API's answer.

    :param held: the epoch of the answer.
    """
    if greeting is None:
        return ok(
            "stream",
            f"open; no greeting within {network.GREETING_SECONDS:g} s, so each connection is "
            "followed by one fetch",
        )
    if isinstance(greeting, MalformedEvent) or greeting.epoch is None or held is None:
        return ok(
            "stream",
            "open; its greeting holds no epoch, so each connection is followed by one fetch",
        )
    if greeting.epoch <= held or may_hide_newer(greeting.epoch, held):
        return ok("stream", "open; its greeting agrees with the API")
    return warning(
        "stream",
        f"open; it announces a change {greeting.epoch - held:.1f} s newer than the API's answer",
        "If the flags have just changed, run this again in a minute. Otherwise the API serves old "
        "flags, and the app's are frozen, or the stream announces changes that do not exist.",
    )


def diagnose_refusal(config: Config, error: StreamError) -> Finding:
    """Explains why the stream cannot be opened."""
    polling = f"Flags are fetched every {config.environment_refresh_interval_seconds:g} s instead."
    if isinstance(error, StreamRefusedError):
        return warning(
            "stream",
            f"refused at {config.realtime_api_url}: {error}",
            f"{polling} Real-time updates need a Flagsmith plan that includes them and 'Enable "
            "real-time updates' in the project's settings; a stream of your own is set by "
            "FLAGSMITH_REALTIME_API_URL.",
        )
    return warning(
        "stream",
        f"not available at {config.realtime_api_url}: {error}",
        f"{polling} Check FLAGSMITH_REALTIME_API_URL, and that no proxy stops long answers.",
    )


def diagnose_snapshot_file(path: Path) -> Finding:
    """Checks that the snapshot file can be written."""
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return failed(
            "file",
            f"FLAGSMITH_SNAPSHOT_FILE {path} cannot be written: its directory does not exist, or "
            "is not writable",
            "Create the directory, and let the app's user write to it.",
        )
    state = "it exists" if path.exists() else "it does not exist yet"
    return ok("file", f"FLAGSMITH_SNAPSHOT_FILE {path} can be written; {state}")


def diagnose_webhook(secret: str, paths: Sequence[str]) -> Finding:
    """Checks that webhooks are accepted, and safely.

    :param secret: the secret that they are signed with.
    :param paths: the paths of the app that accept them.
    """
    if not paths:
        return warning(
            "webhook",
            "FLAGSMITH_WEBHOOK_SECRET is set, but the app accepts no webhooks",
            "Add app.register_blueprint(flagsmith.webhook).",
        )
    if len(secret) < _SHORT_SECRET:
        return warning(
            "webhook",
            f"FLAGSMITH_WEBHOOK_SECRET has {len(secret)} characters: it can be guessed",
            "Take 32 random characters, here and in the webhook's settings on Flagsmith.",
        )
    return ok("webhook", f"accepted at {', '.join(paths)}; the secret has {len(secret)} characters")


def _date(epoch: float, now: float) -> str:
    try:
        moment = datetime.fromtimestamp(epoch, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return "which is not a date"
    text = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    return f"{text}, in the future" if epoch > now + _MOST_SKEW_SECONDS else text


def _host(url: str) -> str:
    return urlsplit(url).hostname or url


def _is_hosted(url: str) -> bool:
    return f".{_host(url)}".endswith(".flagsmith.com")
