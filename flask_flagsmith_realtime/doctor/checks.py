"""The doctor's checks, in the order in which an app depends on them.

:mod:`.network` makes the calls, and :mod:`.verdicts` turns their results into findings. No finding
holds a secret.
"""

from __future__ import annotations

import contextlib
import os
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import requests
from flask import Flask
from flask.cli import NoAppException

from .. import webhook
from ..client import API, StreamError
from ..config import Config
from ..exceptions import FetchError, FlagsmithRealtimeError, InvalidDocumentError
from ..model import Snapshot
from ..reading import BROWSER_BLUEPRINT
from ..storage import MAX_ARCHIVE_BYTES, read_regular_file, unpack
from . import network, verdicts
from .findings import Finding, failed, ok, warning


def broken_setup(error: FlagsmithRealtimeError) -> Finding:
    """Reports an app without flags: its settings are wrong, or it lacks the extension."""
    return failed("settings", str(error), "Nothing else can be checked before that.")


def broken_app(error: BaseException) -> Finding:
    """Reports an app that does not load because of an error of its own."""
    return failed(
        "app",
        f"the app does not load: {_reason(error)}",
        "Nothing else can be checked before that; 'flask routes' shows the whole error.",
    )


def examine(app: Flask, config: Config) -> Iterator[Finding]:
    """Runs all checks, one after the other."""
    yield from verdicts.diagnose_settings(app.config)
    if app.testing:
        yield warning(
            "testing",
            "TESTING is on: this app serves defaults and overrides, and makes no call",
            "The checks below go on as if it were off.",
        )
    if config.offline_file is not None:
        yield ok("offline", f"flags come from {config.offline_file}; no call is made")
    elif config.environment_key is None:
        yield failed(
            "key",
            "FLAGSMITH_ENVIRONMENT_KEY is missing",
            "Copy a key from 'SDK keys' in the environment's settings on Flagsmith.",
        )
    else:
        yield verdicts.diagnose_key(config)
        yield from verdicts.diagnose_addresses(config)
        yield from _examine_flagsmith(config, config.environment_key)
        yield _examine_fleet(config)
    if config.webhook_secret is not None:
        rules, endpoint = app.url_map.iter_rules(), f"{webhook.BLUEPRINT}.receive"
        paths = [rule.rule for rule in rules if rule.endpoint.endswith(endpoint)]
        yield verdicts.diagnose_webhook(config.webhook_secret, paths)
    if BROWSER_BLUEPRINT in app.blueprints:
        yield verdicts.diagnose_browser(config)


def _examine_flagsmith(config: Config, key: str) -> Iterator[Finding]:
    snapshot: Snapshot | None = None
    api = API(config)
    started = time.monotonic()
    try:
        snapshot = api.fetch()
    except FetchError as error:
        yield failed("API", str(error), _advice(config))
    else:
        seconds = time.monotonic() - started
        yield verdicts.diagnose_answer(snapshot, seconds, time.time())
        yield verdicts.diagnose_clock(snapshot, seconds)
        yield from verdicts.diagnose_defaults(config, snapshot)
        if snapshot.document is not None:
            yield from verdicts.diagnose_environment(snapshot.document)
    finally:
        api.close()
    yield _examine_stream(config, key, snapshot)
    if config.snapshot_file is not None:
        path = Path(config.snapshot_file)
        yield verdicts.diagnose_snapshot_file(path)
        # A start of the app reports a file that is damaged.
        with contextlib.suppress(OSError, InvalidDocumentError):
            kept = unpack(read_regular_file(path, MAX_ARCHIVE_BYTES), key)
            if snapshot is not None:
                yield from verdicts.diagnose_kept(kept, snapshot, time.time())


def _examine_stream(config: Config, key: str, snapshot: Snapshot | None) -> Finding:
    if not config.enable_realtime_updates:
        return ok(
            "stream",
            "off by FLAGSMITH_ENABLE_REALTIME_UPDATES: flags are fetched every "
            f"{config.environment_refresh_interval_seconds:g} s",
        )
    if snapshot is None and config.local_evaluation:
        return warning(
            "stream",
            "not checked: its address holds the environment's id, which the API provides",
            "Fix the API first.",
        )
    environment_id = key if snapshot is None else snapshot.environment_id
    held = None if snapshot is None else snapshot.epoch
    try:
        return verdicts.diagnose_greeting(network.greet(config, environment_id), held)
    except StreamError as error:
        return verdicts.diagnose_refusal(config, error)


def _advice(config: Config) -> str:
    """Finds out why the API did not answer as it should."""
    try:
        if network.is_flagsmith(config, config.api_url):
            return (
                "There is a Flagsmith at FLAGSMITH_API_URL, so the key is wrong. Copy it again "
                "from 'SDK keys' in the environment's settings on that Flagsmith."
            )
        for url in (config.usual_api_url, urljoin(config.api_url, "/api/v1/")):
            if url != config.api_url and network.is_flagsmith(config, url):
                return f"There is a Flagsmith at {url}: set FLAGSMITH_API_URL to that."
    except requests.exceptions.SSLError:
        return (
            "Check the server's certificate. To trust an authority of your own, name its file in "
            "the environment variable REQUESTS_CA_BUNDLE."
        )
    except OSError:
        return "For a Flagsmith on this machine: flask flagsmith emulator."
    return (
        "The server at FLAGSMITH_API_URL is not a Flagsmith API. The hosted service's is "
        "https://edge.api.flagsmith.com/api/v1/; your own ends in /api/v1/ as well."
    )


def _examine_fleet(config: Config) -> Finding:
    if config.redis_url is None:
        return ok(
            "fleet",
            "none: each process has its own stream and fetches each change itself",
            "With more than one process, FLAGSMITH_REDIS_URL lets them share both.",
        )
    # The package redis is optional; without it the app has not started.
    from ..fleet import StoreError, redacted_url
    from .redis_check import check_operations

    url = redacted_url(config.redis_url)
    try:
        check_operations(config)
    except StoreError as error:
        return failed(
            "Redis",
            f"{url} cannot be used: {error}",
            "Check FLAGSMITH_REDIS_URL, and that Redis. Until then each process has a stream of "
            "its own.",
        )
    return ok("Redis", f"{url} runs all operations of a fleet: processes share one stream")


def _reason(error: BaseException) -> str:
    """Describes why an app does not load, without its own messages, which can hold a secret."""
    cause = error.__context__
    if isinstance(error, NoAppException):
        # The message holds a whole traceback where an import failed.
        message = error.format_message()
        if "\n" not in message or cause is None:
            return message
        error = cause
    kind = type(error).__name__
    if isinstance(error, SyntaxError):
        return f"{kind}: {error}"
    described = f"{kind}: {error}" if isinstance(error, ImportError) else kind
    frames = traceback.extract_tb(error.__traceback__)
    return f"{described} ({os.path.relpath(frames[-1].filename)}, line {frames[-1].lineno})"
