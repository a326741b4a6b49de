"""``flask flagsmith doctor``: checks everything between an app and its flags, in the order in which
it is needed.

:mod:`.probes` asks the network, :mod:`.judgements` says what an answer means and what to do about
it, and :mod:`.server_setup` reads the server's files. Nothing is printed here, and no secret is
part of a finding.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask
from flask.cli import NoAppException

from .. import webhook
from ..client import API, StreamError, describe_failure, origin
from ..config import Config
from ..exceptions import FetchError, FlagsmithRealtimeError
from ..model import Snapshot
from . import network, servers, verdicts
from .findings import Finding, failed, ok, warning

#: Makes a finding of what is wrong: how bad it is depends on who needs it.
Trouble = Callable[[str, str, str], Finding]

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def broken_setup(error: FlagsmithRealtimeError) -> Finding:
    """The app has no flags at all: its settings are wrong, or it has no extension."""
    return failed("settings", str(error), "Nothing else can be checked before that.")


def broken_app(error: BaseException) -> Finding:
    """The app does not load, for reasons of its own."""
    return failed(
        "app",
        f"the app does not load: {_reason(error)}",
        "Nothing else can be checked before that; 'flask routes' shows all that is said of it.",
    )


def examine(
    app: Flask, config: Config, directory: Path, environ: Mapping[str, str]
) -> Iterator[Finding]:
    """Check everything, one finding after the other.

    :param directory: where the server's set-up is looked for.
    :param environ: the environment variables.
    """
    yield from verdicts.diagnose_settings(app.config)
    if app.testing:
        yield warning(
            "testing",
            "TESTING is on: this app serves defaults and overrides, and asks nobody",
            "The checks below go on as if it were off.",
        )
    if config.offline_file is not None:
        yield ok("offline", f"flags come from {config.offline_file}; Flagsmith is not asked")
    elif config.environment_key is None:
        yield failed(
            "key",
            "FLAGSMITH_ENVIRONMENT_KEY is missing",
            "Copy a key from 'SDK keys' in the environment's settings on Flagsmith.",
        )
    else:
        yield verdicts.diagnose_key(config)
        yield from verdicts.diagnose_addresses(config)
        yield from _examine_hosts(config)
        yield from _examine_flagsmith(config)
    if config.snapshot_file is not None:
        yield verdicts.diagnose_snapshot_file(Path(config.snapshot_file))
    if config.redis_url is not None:
        yield _examine_redis(config)
    if config.webhook_secret is not None:
        yield verdicts.diagnose_webhook(config.webhook_secret, _webhook_paths(app))
    shares_a_stream = config.redis_url is not None
    yield from servers.examine(directory, environ, shares_a_stream)


def _examine_hosts(config: Config) -> Iterator[Finding]:
    """Look at the hosts of the API and the stream. Flags are served without the latter, too."""
    yield from _examine_host(config, config.api_url, failed)
    if config.enable_realtime_updates:
        ours, others = origin(config.api_url), origin(config.realtime_api_url)
        if ours[:2] != others[:2] or (ours != others and ours[0] == "https"):
            yield from _examine_host(config, config.realtime_api_url, warning)


def _examine_host(config: Config, url: str, trouble: Trouble) -> Iterator[Finding]:
    scheme, host, port = origin(url)
    if host is None or port is None:
        return
    if network.is_proxied(config, url):
        yield ok("network", f"{host} is reached through a proxy")
        return
    try:
        addresses = network.resolve(host)
    except (OSError, UnicodeError):
        yield trouble(
            "DNS",
            f"{host} cannot be resolved",
            "Check the name in FLAGSMITH_API_URL or FLAGSMITH_REALTIME_API_URL, and this "
            "machine's DNS.",
        )
        return
    shown = ", ".join(addresses[:2]) + (" …" if len(addresses) > 2 else "")
    yield ok("DNS", shown if addresses == [host] else f"{host} is {shown}")
    if scheme == "https":
        yield _examine_certificate(config, host, port, trouble)
    elif host not in _LOOPBACK:
        yield warning(
            "TLS",
            f"{host} is asked by http://, so anybody on the way can read and change what is sent",
            "Use https:// unless that network is your own: calls of the API carry the key.",
        )


def _examine_certificate(config: Config, host: str, port: int, trouble: Trouble) -> Finding:
    try:
        expiry = network.certificate_expiry(config, host, port)
    except OSError as error:
        return trouble(
            "TLS",
            f"{host}:{port}: {describe_failure(error)}",
            "Check the port, and the server's certificate. An authority of your own is trusted if "
            "REQUESTS_CA_BUNDLE names its file.",
        )
    return verdicts.diagnose_certificate(host, expiry, time.time())


def _examine_flagsmith(config: Config) -> Iterator[Finding]:
    snapshot: Snapshot | None = None
    api = API(config)
    started = time.monotonic()
    try:
        snapshot = api.fetch()
    except FetchError as error:
        yield failed("API", str(error), _advice(config))
    else:
        yield verdicts.diagnose_answer(snapshot, time.monotonic() - started, time.time())
        try:
            yield verdicts.diagnose_clock(network.ask_without_key(config, config.api_url))
        except OSError as error:
            yield warning("clock", f"not compared: {describe_failure(error)}", "Run this again.")
        if snapshot.document is not None:
            yield verdicts.diagnose_project(snapshot.document)
    finally:
        api.close()
    yield _examine_stream(config, snapshot)


def _examine_stream(config: Config, snapshot: Snapshot | None) -> Finding:
    if not config.enable_realtime_updates:
        return ok(
            "stream",
            "off by FLAGSMITH_ENABLE_REALTIME_UPDATES: flags are fetched every "
            f"{config.environment_refresh_interval_seconds:g} s",
        )
    if snapshot is not None:
        environment_id, held = snapshot.environment_id, snapshot.epoch
    elif not config.local_evaluation and config.environment_key is not None:
        environment_id, held = config.environment_key, None
    else:
        return warning(
            "stream",
            "not checked: its address holds the environment's id, which the API tells",
            "See to the API first.",
        )
    try:
        return verdicts.diagnose_greeting(network.greet(config, environment_id), held)
    except StreamError as error:
        return verdicts.diagnose_refusal(config, error)


def _advice(config: Config) -> str:
    """What to do about an API that does not answer as it should."""
    try:
        reply = network.ask_without_key(config, config.api_url)
        if reply.is_flagsmith:
            return (
                "There is a Flagsmith at FLAGSMITH_API_URL: so it is about the key. Copy it again "
                "from 'SDK keys' in the environment's settings on that Flagsmith."
            )
        scheme, host, port = origin(config.api_url)
        # The port as it was written: a usual one is left out.
        usual = f"{scheme}://{urlsplit(config.api_url).netloc or f'{host}:{port}'}/api/v1/"
        if usual != config.api_url and network.ask_without_key(config, usual).is_flagsmith:
            return f"There is a Flagsmith at {usual}: set FLAGSMITH_API_URL to that."
    except OSError:
        return (
            "Check that Flagsmith is running there, and that FLAGSMITH_API_URL names it. For one "
            "on this machine: flask flagsmith emulator."
        )
    return (
        "What answers at FLAGSMITH_API_URL is no Flagsmith API. The hosted service's is "
        "https://edge.api.flagsmith.com/api/v1/; one of your own ends in /api/v1/ as well."
    )


def _examine_redis(config: Config) -> Finding:
    try:
        from ..fleet.redis_client import redacted_url
        from ..fleet.redis_store import StoreError
        from .redis_check import check_operations
    except ImportError:
        return failed(
            "Redis",
            "FLAGSMITH_REDIS_URL is set, but the package redis is not installed",
            "pip install 'flask-flagsmith-realtime[redis]'",
        )
    where = redacted_url(config.redis_url or "")
    try:
        check_operations(config)
    except StoreError as error:
        return failed(
            "Redis",
            f"{where} cannot be used: {error}",
            "Check FLAGSMITH_REDIS_URL, and that Redis. Until then each process has a stream of "
            "its own.",
        )
    return ok("Redis", f"{where} takes all that a fleet asks of it: processes share one stream")


def _reason(error: BaseException) -> str:
    """Why an app does not load. What its own errors say may hold a secret, so that is left out."""
    cause = error.__context__
    if isinstance(error, NoAppException):
        # Flask puts a whole traceback into the message if it has an import to blame.
        message = error.format_message()
        if "\n" not in message or cause is None:
            return message
        error = cause
    kind = type(error).__name__
    if isinstance(error, SyntaxError):
        return f"{kind}: {error}"
    what = f"{kind}: {error}" if isinstance(error, ImportError) else kind
    frames = traceback.extract_tb(error.__traceback__)
    return f"{what} ({os.path.relpath(frames[-1].filename)}, line {frames[-1].lineno})"


def _webhook_paths(app: Flask) -> list[str]:
    return [
        rule.rule
        for rule in app.url_map.iter_rules()
        if rule.endpoint.endswith(f"{webhook.BLUEPRINT}.receive")
    ]
