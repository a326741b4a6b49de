"""The doctor's judgements: what an answer means, and what to do about it. Pure but for a look at a
directory's permissions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..client import StreamError, StreamRefusedError
from ..config import PREFIX, Config, unknown_settings
from ..model import Snapshot, may_hide_newer
from . import network
from .findings import Finding, failed, ok, warning

_DAY_SECONDS = 24 * 3600.0
_EXPIRES_SOON_DAYS = 14
_MOST_SKEW_SECONDS = 10.0
_SHORT_SECRET = 16


def diagnose_settings(settings: Mapping[str, Any]) -> Iterator[Finding]:
    """Judge the names of the app's settings; their values were checked when it was set up."""
    unknown = unknown_settings(settings)
    for name, hint in unknown.items():
        yield warning("settings", f"{name} is not a setting of this package", hint)
    known = sorted(name for name in settings if name.startswith(PREFIX) and name not in unknown)
    if known:
        yield ok("settings", ", ".join(known))


def diagnose_key(config: Config) -> Finding:
    """Say what kind of key it is and what that means."""
    if config.local_evaluation:
        return ok("key", f"{config.key_kind}: local evaluation, in this process")
    return ok(
        "key",
        f"{config.key_kind}: remote evaluation",
        "Flagsmith evaluates the flags of identities, at a call each. To have that done in this "
        "process, use a server-side key; it starts with 'ser.'.",
    )


def diagnose_addresses(config: Config) -> Iterator[Finding]:
    """Say so if the API is one's own and the stream the hosted service's, or vice versa."""
    ours = [_is_hosted(url) for url in (config.api_url, config.realtime_api_url)]
    if config.enable_realtime_updates and ours[0] != ours[1]:
        yield warning(
            "settings",
            f"the API is {_host(config.api_url)} and the stream {_host(config.realtime_api_url)}: "
            "one is the hosted service, the other is not",
            "Set FLAGSMITH_API_URL and FLAGSMITH_REALTIME_API_URL to the same Flagsmith; without a "
            "stream of its own, set FLAGSMITH_ENABLE_REALTIME_UPDATES to False.",
        )


def diagnose_answer(snapshot: Snapshot, seconds: float, now: float) -> Finding:
    """Judge what the API answered.

    :param seconds: how long it took.
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
    return ok("API", f"{message}; epoch {snapshot.epoch:.3f}, {_when(snapshot.epoch, now)}")


def diagnose_clock(reply: network.Reply) -> Finding:
    """Judge this machine's clock by the server's."""
    if reply.ahead is None:
        return warning(
            "clock", "the API does not tell the time", "Check this machine's clock by other means."
        )
    if abs(reply.ahead) <= _MOST_SKEW_SECONDS:
        return ok("clock", "agrees with the API's to the second or so")
    direction = "behind" if reply.ahead > 0 else "ahead of"
    return warning(
        "clock",
        f"this machine's clock is {abs(reply.ahead):.0f} s {direction} the API's",
        "Ages of flags and times in logs will mislead. Let NTP set it.",
    )


def diagnose_project(document: Mapping[str, Any]) -> Finding:
    """Judge the project's setting, which the environment document tells."""
    project = document["project"]
    title = f"{document['name']!r} of {project.get('name', 'a project')!r}"
    switch = project.get("enable_realtime_updates")
    if switch is None:
        return ok("project", f"{title}; it does not say whether real-time updates are on")
    if switch:
        return ok("project", f"{title}; real-time updates are on")
    return warning(
        "project",
        f"{title}; real-time updates are off",
        "Turn on 'Enable real-time updates' in the project's settings on Flagsmith.",
    )


def diagnose_greeting(greeting: network.Greeting, held: float | None) -> Finding:
    """Judge how the stream began.

    :param held: the epoch that the API answered.
    """
    if not greeting.came:
        return ok(
            "stream",
            f"open; no greeting within {network.GREETING_SECONDS:g} s, so each connection is "
            "followed by one fetch",
        )
    if greeting.epoch is None or held is None:
        return ok(
            "stream",
            "open; its greeting tells no epoch, so each connection is followed by one fetch",
        )
    if greeting.epoch <= held or may_hide_newer(greeting.epoch, held):
        return ok("stream", "open; its greeting agrees with the API")
    return warning(
        "stream",
        f"open; it announces a change {greeting.epoch - held:.1f} s newer than the API's answer",
        "The flags may just have changed: ask again in a minute. If it stays, the API serves old "
        "flags, or the stream announces changes that never come.",
    )


def diagnose_refusal(config: Config, error: StreamError) -> Finding:
    """Judge why there is no stream."""
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
        f"{polling} Check FLAGSMITH_REALTIME_API_URL, and that nothing between here and there "
        "stops long answers.",
    )


def diagnose_snapshot_file(path: Path) -> Finding:
    """Judge where the last good flags are kept."""
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return failed(
            "file",
            f"FLAGSMITH_SNAPSHOT_FILE {path} cannot be written: its directory is not there, or not "
            "writable",
            "Make the directory, and let the app's user write to it.",
        )
    kept = "there is one" if path.exists() else "none yet"
    return ok("file", f"FLAGSMITH_SNAPSHOT_FILE {path} can be written; {kept}")


def diagnose_webhook(secret: str, paths: Sequence[str]) -> Finding:
    """Judge how webhooks are taken.

    :param secret: what they are signed with.
    :param paths: where the app takes them.
    """
    if not paths:
        return warning(
            "webhook",
            "FLAGSMITH_WEBHOOK_SECRET is set, but the app takes no webhooks",
            "Add app.register_blueprint(flagsmith.webhook).",
        )
    if len(secret) < _SHORT_SECRET:
        return warning(
            "webhook",
            f"FLAGSMITH_WEBHOOK_SECRET has {len(secret)} characters: it can be guessed",
            "Take 32 random characters, here and in the webhook's settings on Flagsmith.",
        )
    return ok("webhook", f"taken at {', '.join(paths)}; the secret has {len(secret)} characters")


def diagnose_certificate(host: str, expiry: float, now: float) -> Finding:
    """Judge how long a server's certificate is valid.

    :param expiry: until when, in seconds since 1970.
    :param now: the time, in seconds since 1970.
    """
    days = (expiry - now) / _DAY_SECONDS
    until = datetime.fromtimestamp(expiry, timezone.utc).date().isoformat()
    if days < _EXPIRES_SOON_DAYS:
        return warning(
            "TLS",
            f"{host}: its certificate expires in {days:.0f} days, on {until}",
            "Renew it, or tell whoever runs that server.",
        )
    return ok("TLS", f"{host}: certificate valid until {until}")


def _when(epoch: float, now: float) -> str:
    """An epoch for a person to read."""
    try:
        moment = datetime.fromtimestamp(epoch, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return "which is no date"
    text = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    return f"{text}, in the future" if epoch > now + _MOST_SKEW_SECONDS else text


def _host(url: str) -> str:
    return urlsplit(url).hostname or url


def _is_hosted(url: str) -> bool:
    return f".{_host(url)}".endswith(".flagsmith.com")
