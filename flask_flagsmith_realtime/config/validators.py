"""Validators of the settings: one for each kind of value.

A validator takes a value of ``app.config`` and returns the checked one. It raises ``TypeError`` for
a wrong type and ``ValueError`` for a wrong value; the message continues the setting's name, as in
"must be a bool, not str". No message repeats a value that can hold a secret.

Flask reads an environment variable as JSON where it is JSON, else as text. So numbers, dicts and
lists are also accepted as JSON text, and booleans in the spellings that people use.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ..model import Flag, default_flag

#: The longest time that every platform's timers can wait.
_LONGEST_SECONDS = 30 * 24 * 3600.0

_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}

#: The characters of a header's name (RFC 9110).
_HEADER_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PROXIED = ("http", "https", "all")
_PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")


class Kind(NamedTuple):
    """One kind of value.

    :param check: the validator.
    :param example: a valid value, which error messages show.
    """

    check: Callable[[Any], Any]
    example: Any


def _wrong_type(wanted: str, value: Any) -> TypeError:
    return TypeError(f"must be {wanted}, not {type(value).__name__}")


def parse_json(value: Any) -> Any:
    """Parses text that is JSON, as Flask reads an environment variable; returns any other value
    unchanged."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _key(value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong_type("text", value)
    if not value or not value.isascii() or not value.isprintable() or set(value) & set(" \"'"):
        raise ValueError(
            "is not a valid key: it is empty or holds spaces, quotes or characters that no key "
            "has; copy it again from 'SDK keys' in the environment's settings on Flagsmith"
        )
    return value


def _is_url(text: str, schemes: tuple[str, ...] = ("http", "https")) -> bool:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return usable and text.isprintable() and " " not in text


def usual_api_url(url: str) -> str:
    """Returns a URL with the path in which that of Flagsmith's API usually ends."""
    parts = urlsplit(url)
    if parts.path.endswith("/api/v1/"):
        return url
    path = parts.path.removesuffix("/").removesuffix("/api")
    return parts._replace(path=f"{path}/api/v1/").geturl()


def _url(value: Any, complete: Callable[[str], str] = str) -> str:
    if not isinstance(value, str):
        raise _wrong_type("a URL", value)
    # A user name, a query or a fragment can hold a secret: such a value is not repeated.
    plain = not set("@?#") & set(value)
    if not _is_url(value):
        found = f", not {value!r}" if plain else ""
        meant = f"http://{value.strip('/')}/"
        looks_like_host = plain and "://" not in value and _is_url(meant)
        hint = f"; did you mean {complete(meant)} ?" if looks_like_host else ""
        raise ValueError(f"must be a URL that starts with https:// or http://{found}{hint}")
    if not plain:
        raise ValueError(
            "must be a URL without user name, query or fragment; set FLAGSMITH_CUSTOM_HEADERS to "
            "send credentials to a gateway"
        )
    return value if value.endswith("/") else value + "/"


def _number(value: Any, wanted: str) -> Any:
    number = parse_json(value)
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise _wrong_type(wanted, value)
    return number


def _boolean(value: Any) -> bool:
    if isinstance(value, (bool, int, str)):
        boolean = _BOOLEANS.get(str(value).strip().lower())
        if boolean is not None:
            return boolean
    raise _wrong_type("a bool", value)


def _path(value: Any) -> str:
    if not isinstance(value, (str, os.PathLike)):
        raise _wrong_type("the path of a file", value)
    path = os.fsdecode(value)
    if not path or "\0" in path:
        raise ValueError(f"must be the path of a file, not {path!r}")
    return os.path.abspath(path)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong_type("text", value)
    if not value:
        raise ValueError("must not be empty; remove it to do without")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("must be UTF-8, but holds a byte that is not") from None
    return value


def _check_header(content: str, subject: str) -> None:
    if not content.isprintable() or content != content.strip():
        raise ValueError(f"{subject} control characters, or spaces at its ends")
    try:
        content.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"{subject} characters that no header can carry") from None


def _header_value(value: Any) -> str:
    text = _text(value)
    _check_header(text, "is sent as a header, but holds")
    return text


def _dict_of_text(value: Any) -> Mapping[str, str]:
    value = parse_json(value)
    if not isinstance(value, Mapping):
        raise _wrong_type("a dict of text to text", value)
    for name, content in value.items():
        if not isinstance(name, str) or not isinstance(content, str):
            wrong = content if isinstance(name, str) else name
            raise TypeError(f"must be a dict of text to text, but holds {type(wrong).__name__}")
    return MappingProxyType(dict(value))


def _headers(value: Any) -> Mapping[str, str]:
    headers = _dict_of_text(value)
    for name, content in headers.items():
        if name.strip().lower() == "x-environment-key":
            raise ValueError(f"must not hold {name}; set FLAGSMITH_ENVIRONMENT_KEY instead")
        if not re.fullmatch(_HEADER_NAME, name):
            raise ValueError(f"holds {name!r}, which is not a valid header name")
        _check_header(content, f"holds {name!r} with")
    return headers


def _proxies(value: Any) -> Mapping[str, str]:
    proxies = _dict_of_text(value)
    for name, proxy in proxies.items():
        if name.partition("://")[0] not in _PROXIED:
            raise ValueError(f"must have the keys {', '.join(map(repr, _PROXIED))}, not {name!r}")
        # An empty URL turns off a proxy of the environment's. A proxy's URL can hold a password.
        if proxy and not _is_url(proxy, _PROXY_SCHEMES):
            raise ValueError(f"must hold a URL such as http://proxy:3128 for {name!r}")
    return proxies


def _defaults(value: Any) -> Mapping[str, Flag]:
    value = parse_json(value)
    if not isinstance(value, Mapping):
        raise _wrong_type("a dict", value)
    for name in value:
        if not isinstance(name, str):
            raise ValueError(f"must have names of features as its keys, not {name!r}")
    try:
        flags = {name: default_flag(name, setting) for name, setting in value.items()}
    except TypeError as error:
        raise ValueError(f"cannot be used: {error}") from None
    return MappingProxyType(flags)


def _names(value: Any) -> tuple[str, ...]:
    """Validates a list of names, which text separates by commas."""
    parsed = parse_json(value)
    if isinstance(parsed, list):
        value = parsed
    elif isinstance(value, str):
        value = [name.strip() for name in value.split(",")]
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise _wrong_type("a list of text", value)
    for name in value:
        if not isinstance(name, str):
            raise TypeError(f"must be a list of text, but holds {type(name).__name__}")
        if not name:
            raise ValueError("must not hold an empty text")
    return tuple(dict.fromkeys(value))


def _origins(value: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_origin(text) for text in _names(value)))


def _origin(text: str) -> str:
    """Returns an origin as browsers send it."""
    plain = not set("@?#") & set(text)
    parts = urlsplit(text) if plain and _is_url(text) else None
    if parts is None or parts.path not in ("", "/") or "*" in text:
        found = f", not {text!r}" if plain else ""
        raise ValueError(f"must hold origins such as https://www.example.com{found}")
    usual_port = {"http": ":80", "https": ":443"}[parts.scheme]
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(usual_port)}"


def seconds(shortest: float, *, zero: bool = False) -> Kind:
    """Returns the kind of a time.

    :param shortest: the shortest valid time, in seconds.
    :param zero: accept 0 as well.
    """
    least = "0, or " if zero and shortest else ""

    def check(value: Any) -> float:
        number = _number(value, "a number of seconds")
        if not shortest <= number <= _LONGEST_SECONDS and not (zero and number == 0):
            raise ValueError(
                f"must be {least}from {shortest:g} to {_LONGEST_SECONDS:.0f} seconds, "
                f"not {number!r}"
            )
        return float(number)

    return Kind(check, max(shortest, 2.5))


def count(most: int) -> Kind:
    """Returns the kind of a whole number from 0 to ``most``."""

    def check(value: Any) -> int:
        number = _number(value, "a whole number")
        if not 0 <= number <= most or number != int(number):
            raise ValueError(f"must be a whole number from 0 to {most}, not {number!r}")
        return int(number)

    return Kind(check, 10)


#: Flask reads an environment variable ``1234`` as a number, so examples of text show the quotes.
KEY = Kind(_key, "1234")
TEXT = Kind(_text, "1234")
HEADER_VALUE = Kind(_header_value, "1.0")
URL = Kind(_url, "https://flagsmith.example.com/")
API_URL = Kind(partial(_url, complete=usual_api_url), "https://flagsmith.example.com/api/v1/")
BOOLEAN = Kind(_boolean, True)
PATH = Kind(_path, "/var/lib/shop/flags.json")
DEFAULTS = Kind(_defaults, {"new_checkout": True, "banner_text": "Hi"})
HEADERS = Kind(_headers, {"X-Gateway": "shop"})
PROXIES = Kind(_proxies, {"https": "http://proxy:3128"})
NAMES = Kind(_names, ["plan", "country"])
ORIGINS = Kind(_origins, ["https://www.example.com"])
