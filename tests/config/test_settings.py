"""The settings: what each takes, and what it says to everything else."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import Any

import pytest

from flask_flagsmith_realtime import ConfigError, Flag
from flask_flagsmith_realtime.config.settings import Config, read_config

KEY = "ser.QmFkIGtleSwgZG8gbm90"


def read(**settings: Any) -> Config:
    """Read settings given without their prefix, next to a key."""
    settings = {"ENVIRONMENT_KEY": KEY, **settings}
    return read_config({f"FLAGSMITH_{name}": value for name, value in settings.items()})


def refusal_of(**settings: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        read(**settings)
    return str(refused.value)


def test_defaults_are_those_that_are_documented() -> None:
    config = read()
    assert {field.name: getattr(config, field.name) for field in dataclasses.fields(Config)} == {
        "environment_key": KEY,
        "api_url": "https://edge.api.flagsmith.com/api/v1/",
        "realtime_api_url": "https://realtime.flagsmith.com/",
        "enable_realtime_updates": True,
        "autostart": True,
        "request_timeout_seconds": 10.0,
        "startup_timeout_seconds": 5.0,
        "stream_timeout_seconds": 90.0,
        "environment_refresh_interval_seconds": 60.0,
        "live_refresh_interval_seconds": 300.0,
        "refresh_min_interval_seconds": 0.25,
        "identity_ttl_seconds": 60.0,
        "defaults": {},
        "strict": False,
        "snapshot_file": None,
        "offline_file": None,
        "redis_url": None,
        "webhook_secret": None,
        "custom_headers": {},
        "proxies": {},
    }


def test_every_setting_is_documented() -> None:
    for field in dataclasses.fields(Config):
        assert field.metadata["doc"].endswith(".")


@pytest.mark.parametrize(
    ("name", "value", "read_as"),
    [
        ("ENVIRONMENT_KEY", "AbC123", "AbC123"),
        (
            "API_URL",
            "https://flagsmith.example.com/api/v1",
            "https://flagsmith.example.com/api/v1/",
        ),
        ("API_URL", "http://127.0.0.1:8000/api/v1/", "http://127.0.0.1:8000/api/v1/"),
        ("REALTIME_API_URL", "http://[::1]:8001", "http://[::1]:8001/"),
        ("ENABLE_REALTIME_UPDATES", False, False),
        ("AUTOSTART", False, False),
        ("REQUEST_TIMEOUT_SECONDS", 3, 3.0),
        ("STARTUP_TIMEOUT_SECONDS", 0, 0.0),
        ("STREAM_TIMEOUT_SECONDS", 45.5, 45.5),
        ("ENVIRONMENT_REFRESH_INTERVAL_SECONDS", 30, 30.0),
        ("LIVE_REFRESH_INTERVAL_SECONDS", 0, 0.0),
        ("LIVE_REFRESH_INTERVAL_SECONDS", 600, 600.0),
        ("REFRESH_MIN_INTERVAL_SECONDS", 1, 1.0),
        ("IDENTITY_TTL_SECONDS", 10, 10.0),
        ("DEFAULTS", {"a": True}, {"a": Flag("a", True, is_default=True)}),
        ("STRICT", True, True),
        ("SNAPSHOT_FILE", Path("/tmp/flags.json"), "/tmp/flags.json"),
        ("SNAPSHOT_FILE", "flags.json", os.path.abspath("flags.json")),
        ("OFFLINE_FILE", "/tmp/flags.json", "/tmp/flags.json"),
        ("REDIS_URL", "redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("WEBHOOK_SECRET", "s3cret", "s3cret"),
        ("CUSTOM_HEADERS", {"X-Gateway": "yes"}, {"X-Gateway": "yes"}),
        ("PROXIES", {"https": "http://proxy:3128"}, {"https": "http://proxy:3128"}),
        ("PROXIES", {"all": "socks5h://p:1"}, {"all": "socks5h://p:1"}),
        ("PROXIES", {"http://flagsmith": ""}, {"http://flagsmith": ""}),
    ],
)
def test_right_values(name: str, value: Any, read_as: Any) -> None:
    assert getattr(read(**{name: value}), name.lower()) == read_as


SWITCHES = ["ENABLE_REALTIME_UPDATES", "AUTOSTART", "STRICT"]
SECONDS = [name for name in (field.name.upper() for field in dataclasses.fields(Config))
           if name.endswith("_SECONDS")]  # fmt: skip
TEXTS = ["REDIS_URL", "WEBHOOK_SECRET"]
PATHS = ["SNAPSHOT_FILE", "OFFLINE_FILE"]
URLS = ["API_URL", "REALTIME_API_URL"]

WRONG: list[tuple[str, Any, str]] = [
    ("ENVIRONMENT_KEY", 12345, "is int; it takes the key as text; in an environment variable, a"),
    ("ENVIRONMENT_KEY", "", "is not a key"),
    ("ENVIRONMENT_KEY", "two words", "is not a key"),
    ("ENVIRONMENT_KEY", "line\n", "is not a key"),
    ("ENVIRONMENT_KEY", "schlüssel", "is not a key"),
    *[(name, "yes", "is str; it takes True or False") for name in SWITCHES],
    *[(name, 1, "is int; it takes True or False") for name in SWITCHES],
    *[(name, "10", "is str; it takes a number of seconds") for name in SECONDS],
    *[(name, True, "is bool; it takes a number of seconds") for name in SECONDS],
    *[(name, False, "is bool; it takes a number of seconds") for name in SECONDS],
    *[(name, -1, "is -1; it takes seconds from") for name in SECONDS],
    *[(name, math.nan, "is nan; it takes seconds from") for name in SECONDS],
    *[(name, math.inf, "is inf; it takes seconds from") for name in SECONDS],
    *[(name, 10**400, "it takes seconds from") for name in SECONDS],
    ("LIVE_REFRESH_INTERVAL_SECONDS", 0.01, "is 0.01; it takes seconds from 0.1"),
    *[(name, 0, "it takes seconds from") for name in SECONDS if name not in
      ("LIVE_REFRESH_INTERVAL_SECONDS", "STARTUP_TIMEOUT_SECONDS")],
    *[(name, 5, "is int; it takes text; in an environment variable, a number") for name in TEXTS],
    *[(name, "", "is empty; it takes text") for name in TEXTS],
    *[(name, 5, "is int; it takes the path of a file") for name in PATHS],
    *[(name, "", "is ''; it takes the path of a file") for name in PATHS],
    *[(name, "a\0b", "it takes the path of a file") for name in PATHS],
    *[(name, 5, "is int; it takes a URL such as") for name in URLS],
    *[(name, "localhost:8000", "did you mean http://localhost:8000/ ?") for name in URLS],
    *[(name, "flagsmith", "did you mean http://flagsmith/ ?") for name in URLS],
    *[(name, "ftp://host/", "a URL that starts with https:// or http://") for name in URLS],
    *[(name, "http://", "a URL that starts with https:// or http://") for name in URLS],
    *[(name, "http://host:port/", "a URL that starts with") for name in URLS],
    *[(name, "http://host:99999/", "a URL that starts with") for name in URLS],
    *[(name, "http://two words/", "a URL that starts with") for name in URLS],
    *[(name, "http://host/\n", "a URL that starts with") for name in URLS],
    *[(name, "", "a URL that starts with") for name in URLS],
    *[(name, "http://host/?a=b", "without user name, query or fragment") for name in URLS],
    ("DEFAULTS", ["a"], 'is list; it takes a dict such as {"new_checkout": True'),
    ("DEFAULTS", {5: True}, "has the key 5; its keys are features' names, as text"),
    ("DEFAULTS", {"a": None}, "cannot be used: the default of 'a' is NoneType; give True"),
    ("CUSTOM_HEADERS", "X: y", "is str; it takes a dict of text to text"),
    ("CUSTOM_HEADERS", {"X": 5}, "it takes a dict of text to text"),
    ("CUSTOM_HEADERS", {"X-Environment-KEY": "x"}, "set FLAGSMITH_ENVIRONMENT_KEY instead"),
    ("CUSTOM_HEADERS", {"X": "a\r\nY: b"}, "holds 'X' with control characters"),
    ("CUSTOM_HEADERS", {"": "a"}, "is not a header"),
    ("CUSTOM_HEADERS", {"X-Environment-Key ": "x"}, "set FLAGSMITH_ENVIRONMENT_KEY instead"),
    ("CUSTOM_HEADERS", {"a:b": "c"}, "holds 'a:b', which is not a header's name"),
    ("CUSTOM_HEADERS", {"X ": "a"}, "holds 'X ', which is not a header's name"),
    ("CUSTOM_HEADERS", {"X": " a"}, "holds 'X' with control characters, or spaces around"),
    ("CUSTOM_HEADERS", {"X": "€"}, "holds 'X' with characters that no header can carry"),
    *[
        ("PROXIES", {"http": proxy}, "holds no URL for 'http'; it takes one such as http://proxy")
        for proxy in ("user:pw@", "proxy:3128", "http://", "ftp://h", "http://h:x", "http://[::1")
    ],
    ("PROXIES", {"htps": "http://proxy"}, "holds 'htps'; its keys are 'http', 'https', 'all'"),
    ("PROXIES", "http://proxy", "is str; it takes a dict of text to text"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "reason"), WRONG)
def test_wrong_values_are_refused_by_name(name: str, value: Any, reason: str) -> None:
    message = refusal_of(**{name: value})
    assert message.startswith(f"FLAGSMITH_{name} ")
    assert reason in message
    assert message.endswith((".", "?"))


def test_every_setting_refuses_something() -> None:
    refused = {name for name, _, _ in WRONG}
    assert refused == {field.name.upper() for field in dataclasses.fields(Config)}


def test_a_key_that_is_no_text_is_nobodys() -> None:
    settings: Any = {1: 2, None: 3, "FLAGSMITH_ENVIRONMENT_KEY": KEY}
    assert read_config(settings) == read()


def test_none_is_as_if_it_were_not_set() -> None:
    names = [field.name.upper() for field in dataclasses.fields(Config)]
    settings: dict[str, Any] = {f"FLAGSMITH_{name}": None for name in names}
    assert read_config({**settings, "FLAGSMITH_ENVIRONMENT_KEY": KEY}) == read()


def test_settings_of_others_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    read_config({"FLAGSMITH_ENVIRONMENT_KEY": KEY, "SECRET_KEY": 5, "FLAGS": object()})
    assert caplog.text == ""


# No key.


def test_without_a_key_the_way_to_one_is_named() -> None:
    with pytest.raises(ConfigError, match=r"FLAGSMITH_ENVIRONMENT_KEY is missing. Copy a key from"):
        read_config({})


def test_under_test_and_offline_no_key_is_needed() -> None:
    assert read_config({}, testing=True).environment_key is None
    config = read_config({"FLAGSMITH_OFFLINE_FILE": "/tmp/flags.json"})
    assert config.local_evaluation


def test_the_kind_of_key_decides_where_flags_are_evaluated() -> None:
    assert read().local_evaluation
    assert not read(ENVIRONMENT_KEY="AbC").local_evaluation


# Unknown keys.


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("FLAGSMITH_ENVIRONMENT_KEYS", "did you mean FLAGSMITH_ENVIRONMENT_KEY?"),
        ("FLAGSMITH_API_ULR", "did you mean FLAGSMITH_API_URL?"),
        ("FLAGSMITH_WEBHOOK", "did you mean FLAGSMITH_WEBHOOK_SECRET?"),
        ("FLAGSMITH_ZZZ", "known are FLAGSMITH_ENVIRONMENT_KEY, FLAGSMITH_API_URL, "),
    ],
)
def test_an_unknown_key_is_a_warning_with_the_nearest(
    caplog: pytest.LogCaptureFixture, name: str, nearest: str
) -> None:
    read_config({"FLAGSMITH_ENVIRONMENT_KEY": KEY, name: "secret value"})
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert f"{name} is not a setting of flask-flagsmith-realtime; {nearest}" in caplog.text
    assert "secret value" not in caplog.text


# Secrets.


def test_the_repr_holds_no_secret() -> None:
    text = repr(
        read(
            REDIS_URL="redis://:hush@redis/0",
            WEBHOOK_SECRET="hush",
            CUSTOM_HEADERS={"Authorization": "hush"},
            PROXIES={"https": "http://user:hush@proxy"},
        )
    )
    assert "hush" not in text
    assert KEY not in text


def test_the_kind_of_key_tells_no_key() -> None:
    assert read().key_kind == "server-side key (ser.…, 24 characters)"
    assert read(ENVIRONMENT_KEY="AbC").key_kind == "client-side key (3 characters)"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENVIRONMENT_KEY", "hush hush"),
        ("ENVIRONMENT_KEY", b"hush"),
        ("WEBHOOK_SECRET", b"hush"),
        ("REDIS_URL", ["redis://:hush@redis"]),
        ("API_URL", "https://user:hush@flagsmith/"),
        ("API_URL", "https://:hush@flagsmith/"),
        ("API_URL", "ftp://user:hush@flagsmith/"),
        ("API_URL", "flagsmith/?token=hush"),
        ("REALTIME_API_URL", "https://flagsmith/?token=hush"),
        ("CUSTOM_HEADERS", {"Authorization": "hush\n"}),
        ("CUSTOM_HEADERS", {"Authorization": ["hush"]}),
        ("CUSTOM_HEADERS", {"X-Environment-Key": "hush"}),
        ("PROXIES", ["http://user:hush@proxy"]),
        ("PROXIES", {"http": "user:hush@proxy"}),
    ],
)
def test_no_error_repeats_a_secret(name: str, value: Any) -> None:
    message = refusal_of(**{name: value})
    assert "hush" not in message
    assert f"FLAGSMITH_{name}" in message
