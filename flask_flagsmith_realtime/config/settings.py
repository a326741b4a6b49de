"""The settings: every ``FLAGSMITH_`` key of ``app.config``, read once into one frozen object.

Each field of :class:`Config` carries its own check and its own documentation, so that the keys, the
errors and the documentation cannot drift apart.
"""

from __future__ import annotations

import dataclasses
import difflib
import logging
import os
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from .. import logs
from ..exceptions import ConfigError
from ..model import Flag, default_flag

logger = logging.getLogger(__name__)

PREFIX = "FLAGSMITH_"
SERVER_SIDE_PREFIX = "ser."

#: Longer than anything sensible, short enough for every platform's timers.
_LONGEST_SECONDS = 30 * 24 * 3600.0

#: Flask reads environment variables as JSON, where the shell has taken its own quotes away before.
_QUOTED = """in an environment variable, a number is text within two kinds of quotes: '"1234"'"""

#: What a header's name is made of (RFC 9110).
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PROXIED = ("http", "https", "all")
_PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")

_Check = Callable[[Any], Any]


def _wrong(value: Any, wanted: str) -> ValueError:
    return ValueError(f"is {type(value).__name__}; it takes {wanted}")


def _key(value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(value, f"the key as text; {_QUOTED}")
    if not value or not value.isascii() or not value.isprintable() or set(value) & set(" \"'"):
        raise ValueError(
            "is not a key: it is empty or holds spaces, quotes or characters that no key has; copy "
            "it again from 'SDK keys' in the environment's settings on Flagsmith"
        )
    return value


def _url(value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(value, "a URL such as https://flagsmith.example.com/api/v1/")
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    # What can hold a password is not repeated.
    plain = not set("@?#") & set(value)
    if not usable or not value.isprintable() or " " in value:
        what = f"is {value!r}" if plain else "is not a URL"
        hint = (
            f"; did you mean http://{value.strip('/')}/ ?" if plain and "://" not in value else ""
        )
        raise ValueError(f"{what}; it takes a URL that starts with https:// or http://{hint}")
    if not plain:
        raise ValueError(
            "takes a URL without user name, query or fragment; FLAGSMITH_CUSTOM_HEADERS can "
            "carry what a gateway asks for"
        )
    return value if value.endswith("/") else value + "/"


def _seconds(shortest: float) -> _Check:
    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _wrong(value, "a number of seconds")
        if not shortest <= value <= _LONGEST_SECONDS:
            raise ValueError(
                f"is {value!r}; it takes seconds from {shortest:g} to {_LONGEST_SECONDS:.0f}"
            )
        return float(value)

    return check


def _interval_or_never(value: Any) -> float:
    """Seconds, where 0 means never."""
    if value == 0 and not isinstance(value, bool):
        return 0.0
    return float(_seconds(0.1)(value))


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, "True or False")
    return value


def _path(value: Any) -> str:
    if not isinstance(value, (str, os.PathLike)):
        raise _wrong(value, f"the path of a file; {_QUOTED}")
    path = os.fsdecode(value)
    if not path or "\0" in path:
        raise ValueError(f"is {path!r}; it takes the path of a file")
    return os.path.abspath(path)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(value, f"text; {_QUOTED}")
    if not value:
        raise ValueError("is empty; it takes text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("holds a byte that is not UTF-8; it takes text") from None
    return value


def _defaults(value: Any) -> Mapping[str, Flag]:
    if not isinstance(value, Mapping):
        raise _wrong(value, 'a dict such as {"new_checkout": True, "banner_text": "Hi"}')
    for name in value:
        if not isinstance(name, str):
            raise ValueError(f"has the key {name!r}; its keys are features' names, as text")
    try:
        flags = {name: default_flag(name, setting) for name, setting in value.items()}
    except TypeError as error:
        raise ValueError(f"cannot be used: {error}") from None
    return MappingProxyType(flags)


def _text_to_text(value: Any) -> Mapping[str, str]:
    if not isinstance(value, Mapping) or not all(
        isinstance(name, str) and isinstance(content, str) for name, content in value.items()
    ):
        raise _wrong(value, "a dict of text to text")
    return MappingProxyType(dict(value))


def _headers(value: Any) -> Mapping[str, str]:
    headers = _text_to_text(value)
    for name, content in headers.items():
        if name.strip().lower() == "x-environment-key":
            raise ValueError(f"holds {name}; set FLAGSMITH_ENVIRONMENT_KEY instead")
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"holds {name!r}, which is not a header's name")
        if not content.isprintable() or content != content.strip():
            raise ValueError(f"holds {name!r} with control characters, or spaces around its value")
        try:
            content.encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError(f"holds {name!r} with characters that no header can carry") from None
    return headers


def _proxies(value: Any) -> Mapping[str, str]:
    proxies = _text_to_text(value)
    for name, proxy in proxies.items():
        if name.partition("://")[0] not in _PROXIED:
            raise ValueError(f"holds {name!r}; its keys are {', '.join(map(repr, _PROXIED))}")
        try:
            parts = urlsplit(proxy)
            usable = parts.scheme in _PROXY_SCHEMES and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        # None at all is a way to do without the environment's proxy.
        if proxy and (not usable or not proxy.isprintable() or " " in proxy):
            # What may hold a password is not repeated.
            raise ValueError(f"holds no URL for {name!r}; it takes one such as http://proxy:3128")
    return proxies


def _option(default: Any, check: _Check, doc: str, *, secret: bool = False) -> Any:
    metadata = {"check": check, "doc": doc}
    if isinstance(default, dict):
        frozen = MappingProxyType(default)
        return dataclasses.field(default_factory=lambda: frozen, repr=not secret, metadata=metadata)
    return dataclasses.field(default=default, repr=not secret, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of the extension for one app, checked. Field names are the keys in lower case,
    without the prefix."""

    environment_key: str | None = _option(
        None,
        _key,
        "The environment's key. A server-side key (``ser.…``) evaluates flags in this process; "
        "any other key lets Flagsmith evaluate them.",
        secret=True,
    )
    api_url: str = _option(
        "https://edge.api.flagsmith.com/api/v1/",
        _url,
        "The base URL of Flagsmith's API, up to and with ``/api/v1/``.",
    )
    realtime_api_url: str = _option(
        "https://realtime.flagsmith.com/", _url, "The base URL of Flagsmith's stream of changes."
    )
    enable_realtime_updates: bool = _option(
        True, _switch, "Whether to listen to the stream. Off: polling only."
    )
    autostart: bool = _option(
        True,
        _switch,
        "Whether ``init_app`` starts the background threads. Off: the first read of a flag does.",
    )
    request_timeout_seconds: float = _option(
        10.0,
        _seconds(0.05),
        "How long a call of the API may stay without an answer; one that asks for an identity, how "
        "long it may take in all.",
    )
    startup_timeout_seconds: float = _option(
        5.0,
        _seconds(0),
        "How long, once in a process, the first read of a flag waits for Flagsmith's first answer.",
    )
    stream_timeout_seconds: float = _option(
        90.0,
        _seconds(0.1),
        "How long the stream may be silent, without even a heartbeat, before it is opened again.",
    )
    environment_refresh_interval_seconds: float = _option(
        60.0, _seconds(0.1), "How often flags are fetched while the stream is down. ±10 %."
    )
    live_refresh_interval_seconds: float = _option(
        300.0,
        _interval_or_never,
        "How often flags are fetched while the stream is up, for what the stream does not "
        "announce: overrides for one identity. ±10 %. 0: never.",
    )
    refresh_min_interval_seconds: float = _option(
        0.25, _seconds(0.01), "The shortest time between two fetches, whatever is announced."
    )
    identity_ttl_seconds: float = _option(
        60.0,
        _seconds(0.1),
        "In remote evaluation, how long one identity's flags are kept at most.",
    )
    defaults: Mapping[str, Flag] = _option(
        {},
        _defaults,
        "What features are before Flagsmith has answered, or if it does not have them: "
        '``{"new_checkout": True, "banner_text": "Hi"}``.',
    )
    strict: bool = _option(
        False, _switch, "Whether reading a feature that does not exist, without a default, raises."
    )
    snapshot_file: str | None = _option(
        None,
        _path,
        "Where the last good document is kept, for a start while Flagsmith cannot be reached.",
    )
    offline_file: str | None = _option(
        None, _path, "An environment document to serve flags from, with no network at all."
    )
    redis_url: str | None = _option(
        None, _text, "The Redis through which a fleet shares one stream.", secret=True
    )
    webhook_secret: str | None = _option(
        None, _text, "The secret with which Flagsmith signs its webhooks.", secret=True
    )
    custom_headers: Mapping[str, str] = _option(
        {},
        _headers,
        "Headers to add to each call of the API, and to the stream if it has the API's origin.",
        secret=True,
    )
    proxies: Mapping[str, str] = _option(
        {}, _proxies, "Proxies by scheme, as Requests takes them.", secret=True
    )

    @property
    def local_evaluation(self) -> bool:
        """Whether flags are evaluated in this process, out of the environment document."""
        return self.offline_file is not None or (
            self.environment_key is not None and self.environment_key.startswith(SERVER_SIDE_PREFIX)
        )

    @property
    def key_kind(self) -> str:
        """The key in words that a log line may hold."""
        key = self.environment_key or ""
        if key.startswith(SERVER_SIDE_PREFIX):
            return f"server-side key ({SERVER_SIDE_PREFIX}…, {len(key)} characters)"
        return f"client-side key ({len(key)} characters)"


def read_config(settings: Mapping[str, Any], *, testing: bool = False) -> Config:
    """Read and check all ``FLAGSMITH_`` keys.

    :param settings: the app's config.
    :param testing: whether the app is under test; then no key is needed.
    :raises ConfigError: naming the key, what it is and what would do.
    """
    fields = {PREFIX + field.name.upper(): field for field in dataclasses.fields(Config)}
    values: dict[str, Any] = {}
    for name, hint in unknown_settings(settings).items():
        logger.warning(
            "%s is not a setting of flask-flagsmith-realtime; %s",
            name,
            hint,
            extra=logs.fields("setting_unknown", setting=name),
        )
    for name, field in fields.items():
        value = settings.get(name)
        if value is not None:
            try:
                values[field.name] = field.metadata["check"](value)
            except ValueError as error:
                end = "" if str(error).endswith("?") else "."
                raise ConfigError(f"{name} {error}{end}") from None
    config = Config(**values)
    if config.environment_key is None and config.offline_file is None and not testing:
        raise ConfigError(_missing_key(os.environ))
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
    """The keys with our prefix that are none of ours, each with the nearest one, in words."""
    known = [field.name.upper() for field in dataclasses.fields(Config)]
    unknown = {}
    for name in settings:
        if not isinstance(name, str):
            # Nobody's setting, but a dict takes it.
            continue
        # What they have in common would make any two of them look alike.
        own = name.removeprefix(PREFIX)
        if name.startswith(PREFIX) and own not in known:
            nearest = difflib.get_close_matches(own, known, n=1, cutoff=0.6)
            hint = "did you mean {}?" if nearest else "known are {}."
            unknown[name] = hint.format(", ".join(PREFIX + other for other in nearest or known))
    return unknown


def _missing_key(environ: Mapping[str, str]) -> str:
    """Say that there is no key, and what to do in this very place."""
    name = "FLAGSMITH_ENVIRONMENT_KEY"
    if environ.get(f"FLASK_{name}"):
        return (
            f"{name} is missing in app.config, although the environment variable FLASK_{name} is "
            "set: call app.config.from_prefixed_env() before the extension is given the app."
        )
    if environ.get(name):
        return (
            f"{name} is missing in app.config, although there is an environment variable of that "
            f"name: Flask reads FLASK_{name}, by app.config.from_prefixed_env(); or set "
            f'app.config["{name}"].'
        )
    return (
        f"{name} is missing. Copy a key from 'SDK keys' in the environment's settings on Flagsmith "
        f"and set it, for example by the environment variable FLASK_{name} with "
        "app.config.from_prefixed_env(); or try it without an account: "
        "python -m flask_flagsmith_realtime.emulator."
    )
