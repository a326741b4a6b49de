"""The settings: every ``FLAGSMITH_`` key of ``app.config``, read once into one frozen object.

Each field of :class:`Config` carries its kind and its documentation, so that the keys, the errors
and the documentation cannot drift apart.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import logging
import os
import shlex
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urljoin

from .. import logs
from ..exceptions import ConfigError
from ..model import Flag
from . import validators
from .validators import Kind, parse_json

logger = logs.SafeLogger(logging.getLogger(__name__))

PREFIX = "FLAGSMITH_"
SERVER_SIDE_PREFIX = "ser."


def _option(default: Any, kind: Kind, doc: str, *, secret: bool = False) -> Any:
    metadata = {"kind": kind, "doc": doc}
    if isinstance(default, dict):
        frozen = MappingProxyType(default)
        return dataclasses.field(default_factory=lambda: frozen, repr=not secret, metadata=metadata)
    return dataclasses.field(default=default, repr=not secret, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The checked settings of one app. A field's name is the key in lower case, without the
    prefix."""

    environment_key: str | None = _option(
        None,
        validators.KEY,
        "The environment's key. A server-side key (``ser.…``) evaluates flags in this process; "
        "any other key lets Flagsmith evaluate them.",
        secret=True,
    )
    api_url: str = _option(
        "https://edge.api.flagsmith.com/api/v1/",
        validators.API_URL,
        "The base URL of Flagsmith's API, up to and with ``/api/v1/``.",
    )
    realtime_api_url: str = _option(
        "https://realtime.flagsmith.com/",
        validators.URL,
        "The base URL of Flagsmith's stream of changes.",
    )
    enable_realtime_updates: bool = _option(
        True, validators.BOOLEAN, "Listen to the stream. Off: polling only."
    )
    autostart: bool = _option(
        True,
        validators.BOOLEAN,
        "``init_app`` starts the background threads. Off: the first read of a flag does.",
    )
    request_timeout_seconds: float = _option(
        10.0,
        validators.seconds(0.05),
        "The longest silence while an API call waits for its answer; for a call that asks for an "
        "identity, the longest time in all.",
    )
    startup_timeout_seconds: float = _option(
        5.0,
        validators.seconds(0),
        "The longest time that the first read of a flag in a process waits for Flagsmith's first "
        "answer.",
    )
    stream_timeout_seconds: float = _option(
        90.0,
        validators.seconds(0.1),
        "The longest silence of the stream, heartbeats included, before it is opened again.",
    )
    environment_refresh_interval_seconds: float = _option(
        60.0,
        validators.seconds(0.1),
        "The polling interval while the stream is down. ±10 %.",
    )
    live_refresh_interval_seconds: float = _option(
        300.0,
        validators.seconds(0.1, zero=True),
        "The polling interval while the stream is up, for changes that the stream does not "
        "announce. ±10 %. 0: never.",
    )
    refresh_min_interval_seconds: float = _option(
        0.25, validators.seconds(0.01), "The shortest time between two fetches."
    )
    identity_ttl_seconds: float = _option(
        60.0,
        validators.seconds(0.1),
        "The longest time that one identity's flags are cached in remote evaluation.",
    )
    defaults: Mapping[str, Flag] = _option(
        {},
        validators.DEFAULTS,
        "The features' states before Flagsmith has answered, or where it does not have them: "
        '``{"new_checkout": True, "banner_text": "Hi"}``.',
    )
    strict: bool = _option(
        False,
        validators.BOOLEAN,
        "Reading a feature that does not exist, without a default, raises.",
    )
    snapshot_file: str | None = _option(
        None,
        validators.PATH,
        "A file that keeps the last good document, for a start while Flagsmith cannot be reached.",
    )
    offline_file: str | None = _option(
        None,
        validators.PATH,
        "An environment document to serve flags from, with no network at all.",
    )
    redis_url: str | None = _option(
        None, validators.TEXT, "The Redis through which a fleet shares one stream.", secret=True
    )
    webhook_secret: str | None = _option(
        None,
        validators.TEXT,
        "The secret with which Flagsmith signs its webhooks.",
        secret=True,
    )
    browser_streams: int = _option(
        24,
        validators.count(100_000),
        "The most event streams to browsers that a process keeps open. 0: none, pages poll.",
    )
    browser_stream_seconds: float = _option(
        300.0,
        validators.seconds(1),
        "The longest life of an event stream to a browser. ±10 %.",
    )
    browser_origins: tuple[str, ...] = _option(
        (),
        validators.ORIGINS,
        "Origins, besides the app's own, whose pages may use the browser endpoints.",
    )
    browser_traits: tuple[str, ...] = _option(
        (),
        validators.NAMES,
        "Names of traits that are accepted from a browser. All others have no effect on flags.",
    )
    preview_badge: bool = _option(
        True,
        validators.BOOLEAN,
        "Pages with a preview of features get a badge that says so.",
    )
    enable_analytics: bool = _option(
        False,
        validators.BOOLEAN,
        "Report how often each feature is read, for the usage charts on Flagsmith.",
    )
    analytics_url: str = _option(
        "",
        validators.URL,
        "The URL that usage is reported to, in full. Unset: ``analytics/flags/`` under "
        "FLAGSMITH_API_URL. The Edge Proxy takes no analytics: name the API behind it.",
    )
    analytics_interval_seconds: float = _option(
        10.0, validators.seconds(0.1), "The time between two reports of usage. ±10 %."
    )
    enable_events: bool = _option(
        False,
        validators.BOOLEAN,
        "Send exposures to experiments and tracked events to Flagsmith.",
    )
    events_api_url: str = _option(
        "https://events.api.flagsmith.com/",
        validators.URL,
        "The base URL of the API that events are sent to, up to ``/v1/events``.",
    )
    application_name: str | None = _option(
        None,
        validators.HEADER_VALUE,
        "The app's name, sent as the header ``Flagsmith-Application-Name``.",
    )
    application_version: str | None = _option(
        None,
        validators.HEADER_VALUE,
        "The app's version, sent as the header ``Flagsmith-Application-Version``.",
    )
    custom_headers: Mapping[str, str] = _option(
        {},
        validators.HEADERS,
        "Headers to add to each call of the API, and to the stream if it has the API's origin.",
        secret=True,
    )
    proxies: Mapping[str, str] = _option(
        {}, validators.PROXIES, "Proxies by scheme, as Requests takes them.", secret=True
    )

    def __post_init__(self) -> None:
        if not self.analytics_url:
            object.__setattr__(self, "analytics_url", urljoin(self.api_url, "analytics/flags/"))

    @property
    def local_evaluation(self) -> bool:
        """True if flags are evaluated in this process, from the environment document."""
        return self.offline_file is not None or (
            self.environment_key is not None and self.environment_key.startswith(SERVER_SIDE_PREFIX)
        )

    @property
    def usual_api_url(self) -> str:
        """``api_url`` with the path in which that of Flagsmith's API usually ends."""
        return validators.usual_api_url(self.api_url)

    @property
    def key_kind(self) -> str:
        """The kind and length of the key, for log lines, which must not hold the key."""
        key = self.environment_key or ""
        if key.startswith(SERVER_SIDE_PREFIX):
            return f"server-side key ({SERVER_SIDE_PREFIX}…, {len(key)} characters)"
        return f"client-side key ({len(key)} characters)"


def read_config(settings: Mapping[str, Any], *, testing: bool = False) -> Config:
    """Reads and checks all ``FLAGSMITH_`` keys of an app's config.

    :param testing: the app is under test, and needs no key.
    :raises ConfigError: naming the key, what it must be, what it is and how to write it.
    """
    for name, hint in unknown_settings(settings).items():
        logger.warning(
            "%s is not a setting of flask-flagsmith-realtime; %s",
            name,
            hint,
            extra=logs.fields("setting_unknown", setting=name),
        )
    values = {
        field.name: _check(PREFIX + field.name.upper(), value, field.metadata["kind"])
        for field in dataclasses.fields(Config)
        if (value := settings.get(PREFIX + field.name.upper())) is not None
    }
    config = Config(**values)
    if config.environment_key is None and config.offline_file is None and not testing:
        raise ConfigError(_missing_key(settings))
    if config.environment_key is not None and not config.local_evaluation:
        logger.info(
            "FLAGSMITH_ENVIRONMENT_KEY is a %s: remote evaluation, a call of the API for each "
            "identity. A server-side key (%s…) has flags evaluated in this process.",
            config.key_kind,
            SERVER_SIDE_PREFIX,
            extra=logs.fields("evaluation_remote"),
        )
    return config


def unknown_settings(settings: Mapping[str, Any]) -> dict[str, str]:
    """Returns the unknown keys that have this package's prefix, each with a hint at the nearest
    known one."""
    known = [field.name.upper() for field in dataclasses.fields(Config)]
    unknown = {}
    for name in settings:
        # A dict takes keys that are not text.
        if not isinstance(name, str) or not name.startswith(PREFIX):
            continue
        # The prefix, which all have in common, would make any two keys look alike.
        own = name.removeprefix(PREFIX)
        if own not in known:
            nearest = difflib.get_close_matches(own, known, n=1, cutoff=0.6)
            hint = "did you mean {}?" if nearest else "known are {}."
            unknown[name] = hint.format(", ".join(PREFIX + other for other in nearest or known))
    return unknown


def _check(name: str, value: Any, kind: Kind) -> Any:
    try:
        return kind.check(value)
    except TypeError as error:
        assignment = _assignment(name, value, kind.example)
        raise ConfigError(f"{name} {error}; write it like {assignment}") from None
    except ValueError as error:
        end = "" if str(error).endswith("?") else "."
        raise ConfigError(f"{name} {error}{end}") from None


def _assignment(name: str, value: Any, example: Any) -> str:
    """Returns an assignment of the example, in the place where the wrong value was set."""
    for variable, raw in os.environ.items():
        if variable.endswith(name) and value in (raw, parse_json(raw)):
            is_plain = isinstance(example, str) and parse_json(example) == example
            text = example if is_plain else json.dumps(example)
            return f"{variable}={shlex.quote(text)}"
    return f"app.config[{json.dumps(name)}] = {example!r}"


def _missing_key(settings: Mapping[str, Any]) -> str:
    """Returns the error for a missing key, with the fix for this process's environment."""
    name = "FLAGSMITH_ENVIRONMENT_KEY"
    if os.environ.get(f"FLASK_{name}"):
        return (
            f"{name} is missing in app.config, although the environment variable FLASK_{name} is "
            "set: call app.config.from_prefixed_env() before the extension is given the app."
        )
    if os.environ.get(name):
        return (
            f"{name} is missing in app.config, although there is an environment variable of that "
            f"name: Flask reads FLASK_{name}, by app.config.from_prefixed_env(); or set "
            f'app.config["{name}"].'
        )
    given = (*settings.items(), *os.environ.items())
    names = {str(key) for key, value in given if isinstance(value, str) and value}
    similar = difflib.get_close_matches(name, names - {name}, n=1, cutoff=0.85)
    typo = f" There is {similar[0]}: is that a typo?" if similar else ""
    return (
        f"{name} is missing.{typo} Copy a key from 'SDK keys' in the environment's settings on "
        f"Flagsmith and set it, for example by the environment variable FLASK_{name} with "
        "app.config.from_prefixed_env(); or try it without an account: "
        "python -m flask_flagsmith_realtime.emulator."
    )
