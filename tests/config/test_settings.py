"""The settings: the values that each accepts, and the errors for all others."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import Any

import pytest
from flagsmith.analytics import DEFAULT_EVENT_API_URL
from flask import Flask

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
        "browser_streams": 24,
        "browser_stream_seconds": 300.0,
        "browser_origins": (),
        "browser_traits": (),
        "preview_badge": True,
        "enable_analytics": False,
        "analytics_url": "https://edge.api.flagsmith.com/api/v1/analytics/flags/",
        "analytics_interval_seconds": 10.0,
        "enable_events": False,
        "events_api_url": DEFAULT_EVENT_API_URL,
        "application_name": None,
        "application_version": None,
        "custom_headers": {},
        "proxies": {},
    }


@pytest.mark.parametrize(
    ("url", "usual"),
    [
        ("http://localhost:8000", "http://localhost:8000/api/v1/"),
        ("http://localhost:8000/api", "http://localhost:8000/api/v1/"),
        ("http://api:8000/", "http://api:8000/api/v1/"),
        ("http://api", "http://api/api/v1/"),
        ("https://example.com/flagsmith/", "https://example.com/flagsmith/api/v1/"),
        ("https://example.com/my-api/", "https://example.com/my-api/api/v1/"),
        ("https://example.com/flagsmith/api/v1", "https://example.com/flagsmith/api/v1/"),
    ],
)
def test_the_usual_url_of_an_api(url: str, usual: str) -> None:
    assert read(API_URL=url).usual_api_url == usual


@pytest.mark.parametrize(
    "name", ["FLAGSMITH_ENVIROMENT_KEY", "FLAGSMIHT_ENVIRONMENT_KEY", "FLAGSMITH_ENVIRONMENT"]
)
def test_a_typo_in_the_name_of_the_key_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"KEY is missing. There is {name}: is that a typo"):
        read_config({name: KEY, 7: "FLAGSMITH_ENVIRONMENT_KEY"})


def test_values_of_other_settings_do_not_matter_for_a_missing_key() -> None:
    class Array:
        def __bool__(self) -> bool:
            raise ValueError("The truth value of an array is ambiguous.")

    with pytest.raises(ConfigError, match="KEY is missing"):
        read_config({"RATES": Array()})


def test_an_unlike_name_is_not_taken_for_that_of_the_key() -> None:
    with pytest.raises(ConfigError, match=r"KEY is missing\. Copy a key"):
        read_config({"FLAGSMITH_ENVIRONMENT_REFRESH_INTERVAL_SECONDS": 5})


def test_usage_is_reported_to_the_api_unless_another_url_is_given() -> None:
    config = read(API_URL="https://flagsmith.example/api/v1/")
    assert config.analytics_url == "https://flagsmith.example/api/v1/analytics/flags/"


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
        ("BROWSER_STREAMS", 0, 0),
        ("BROWSER_STREAMS", 5_000.0, 5_000),
        ("BROWSER_STREAM_SECONDS", 30, 30.0),
        (
            "BROWSER_ORIGINS",
            ["https://Shop.example/", "http://localhost:3000", "http://shop.example:80"],
            ("https://shop.example", "http://localhost:3000", "http://shop.example"),
        ),
        ("BROWSER_ORIGINS", "https://a.example:443, http://[::1]:80", ("https://a.example", "http://[::1]")),
        ("BROWSER_TRAITS", ["plan", "country", "plan"], ("plan", "country")),
        ("BROWSER_TRAITS", ("plan",), ("plan",)),
        ("BROWSER_TRAITS", {"plan"}, ("plan",)),
        ("ENABLE_ANALYTICS", True, True),
        ("ANALYTICS_URL", "https://host/usage/flags", "https://host/usage/flags/"),
        ("ANALYTICS_INTERVAL_SECONDS", 1, 1.0),
        ("ENABLE_EVENTS", True, True),
        ("EVENTS_API_URL", "https://events.example", "https://events.example/"),
        ("APPLICATION_NAME", "Tea shop", "Tea shop"),
        ("APPLICATION_VERSION", "2.1", "2.1"),
        # As text, as an environment variable holds it.
        *[("STRICT", text, True) for text in ("true", "True", "YES", "on", "1", 1, " true ")],
        *[("AUTOSTART", text, False) for text in ("false", "False", "NO", "off", "0", 0)],
        ("REQUEST_TIMEOUT_SECONDS", "2.5", 2.5),
        ("BROWSER_STREAMS", "50", 50),
        ("DEFAULTS", '{"a": true}', {"a": Flag("a", True, is_default=True)}),
        ("CUSTOM_HEADERS", '{"X-Gateway": "yes"}', {"X-Gateway": "yes"}),
        ("PROXIES", '{"https": "http://proxy:3128"}', {"https": "http://proxy:3128"}),
        ("BROWSER_TRAITS", '["plan", "country"]', ("plan", "country")),
        ("BROWSER_TRAITS", "plan,country", ("plan", "country")),
        ("BROWSER_TRAITS", "5", ("5",)),
    ],
)  # fmt: skip
def test_right_values(name: str, value: Any, read_as: Any) -> None:
    assert getattr(read(**{name: value}), name.lower()) == read_as


BOOLEANS = ["ENABLE_REALTIME_UPDATES", "AUTOSTART", "STRICT", "PREVIEW_BADGE", "ENABLE_ANALYTICS",
            "ENABLE_EVENTS"]  # fmt: skip
SECONDS = [name for name in (field.name.upper() for field in dataclasses.fields(Config))
           if name.endswith("_SECONDS")]  # fmt: skip
TEXTS = ["REDIS_URL", "WEBHOOK_SECRET", "APPLICATION_NAME", "APPLICATION_VERSION"]
HEADER_VALUES = ["APPLICATION_NAME", "APPLICATION_VERSION"]
PATHS = ["SNAPSHOT_FILE", "OFFLINE_FILE"]
URLS = ["API_URL", "REALTIME_API_URL", "ANALYTICS_URL", "EVENTS_API_URL"]
LISTS = ["BROWSER_ORIGINS", "BROWSER_TRAITS"]

WRONG: list[tuple[str, Any, str]] = [
    ("ENVIRONMENT_KEY", 12345, "must be text, not int; write it like"),
    ("ENVIRONMENT_KEY", "", "is not a valid key"),
    ("ENVIRONMENT_KEY", "two words", "is not a valid key"),
    ("ENVIRONMENT_KEY", "line\n", "is not a valid key"),
    ("ENVIRONMENT_KEY", "schlüssel", "is not a valid key"),
    *[(name, "maybe", "must be a bool, not str; write it like") for name in BOOLEANS],
    *[(name, 2, "must be a bool, not int; write it like") for name in BOOLEANS],
    *[(name, 1.0, "must be a bool, not float; write it like") for name in BOOLEANS],
    *[(name, "soon", "must be a number of seconds, not str; write it like") for name in SECONDS],
    *[(name, True, "must be a number of seconds, not bool") for name in SECONDS],
    *[(name, "true", "must be a number of seconds, not str") for name in SECONDS],
    *[(name, -1, "seconds, not -1") for name in SECONDS],
    *[(name, math.nan, "seconds, not nan") for name in SECONDS],
    *[(name, math.inf, "seconds, not inf") for name in SECONDS],
    *[(name, 10**400, "seconds, not 1000") for name in SECONDS],
    ("LIVE_REFRESH_INTERVAL_SECONDS", 0.01, "must be 0, or from 0.1 to 2592000 seconds, not 0.01"),
    *[(name, 0, "seconds, not 0") for name in SECONDS if name not in
      ("LIVE_REFRESH_INTERVAL_SECONDS", "STARTUP_TIMEOUT_SECONDS")],
    ("BROWSER_STREAMS", "many", "must be a whole number, not str; write it like"),
    ("BROWSER_STREAMS", True, "must be a whole number, not bool"),
    ("BROWSER_STREAMS", -1, "must be a whole number from 0 to 100000, not -1"),
    ("BROWSER_STREAMS", 1.5, "must be a whole number from 0 to 100000, not 1.5"),
    ("BROWSER_STREAMS", math.nan, "must be a whole number from 0 to 100000, not nan"),
    ("BROWSER_STREAMS", math.inf, "must be a whole number from 0 to 100000, not inf"),
    *[(name, 5, "must be text, not int; write it like") for name in TEXTS],
    *[(name, "", "must not be empty") for name in TEXTS],
    *[(name, "a\nb", "is sent as a header, but holds control") for name in HEADER_VALUES],
    *[(name, " a", "is sent as a header, but holds control") for name in HEADER_VALUES],
    *[(name, "€", "is sent as a header, but holds characters") for name in HEADER_VALUES],
    *[(name, 5, "must be the path of a file, not int") for name in PATHS],
    *[(name, "", "must be the path of a file, not ''") for name in PATHS],
    *[(name, "a\0b", "must be the path of a file, not") for name in PATHS],
    *[(name, 5, "must be a URL, not int; write it like") for name in URLS],
    ("API_URL", "localhost:8000", "did you mean http://localhost:8000/api/v1/ ?"),
    ("API_URL", "localhost:8000/api/v1/", "did you mean http://localhost:8000/api/v1/ ?"),
    ("REALTIME_API_URL", "localhost:8000", "did you mean http://localhost:8000/ ?"),
    *[(name, "two words", "starts with https:// or http://, not 'two words'.") for name in URLS],
    *[(name, "ftp://host/", "must be a URL that starts with https:// or http://") for name in URLS],
    *[(name, "http://", "must be a URL that starts with") for name in URLS],
    *[(name, "http://host:port/", "must be a URL that starts with") for name in URLS],
    *[(name, "http://host:99999/", "must be a URL that starts with") for name in URLS],
    *[(name, "http://two words/", "must be a URL that starts with") for name in URLS],
    *[(name, "http://host/\n", "must be a URL that starts with") for name in URLS],
    *[(name, "", "must be a URL that starts with") for name in URLS],
    *[(name, "http://host/?a=b", "without user name, query or fragment") for name in URLS],
    ("DEFAULTS", ["a"], "must be a dict, not list; write it like"),
    ("DEFAULTS", "{'a': True}", "must be a dict, not str; write it like"),
    ("DEFAULTS", {5: True}, "must have names of features as its keys, not 5"),
    ("DEFAULTS", {"a": None}, "cannot be used: "),
    ("CUSTOM_HEADERS", "X: y", "must be a dict of text to text, not str; write it like"),
    ("CUSTOM_HEADERS", {"X": 5}, "must be a dict of text to text, but holds int"),
    ("CUSTOM_HEADERS", {5: "X"}, "must be a dict of text to text, but holds int"),
    ("CUSTOM_HEADERS", {"X-Environment-KEY": "x"}, "set FLAGSMITH_ENVIRONMENT_KEY instead"),
    ("CUSTOM_HEADERS", {"X": "a\r\nY: b"}, "holds 'X' with control characters"),
    ("CUSTOM_HEADERS", {"": "a"}, "is not a valid header name"),
    ("CUSTOM_HEADERS", {"X-Environment-Key ": "x"}, "set FLAGSMITH_ENVIRONMENT_KEY instead"),
    ("CUSTOM_HEADERS", {"a:b": "c"}, "holds 'a:b', which is not a valid header name"),
    ("CUSTOM_HEADERS", {"X ": "a"}, "holds 'X ', which is not a valid header name"),
    ("CUSTOM_HEADERS", {"X": " a"}, "holds 'X' with control characters, or spaces at its ends"),
    ("CUSTOM_HEADERS", {"X": "€"}, "holds 'X' with characters that no header can carry"),
    *[
        ("PROXIES", {"http": proxy}, "must hold a URL such as http://proxy:3128 for 'http'")
        for proxy in ("user:pw@", "proxy:3128", "http://", "ftp://h", "http://h:x", "http://[::1")
    ],
    ("PROXIES", {"htps": "http://proxy"}, "the keys 'http', 'https', 'all', not 'htps'"),
    ("PROXIES", "http://proxy", "must be a dict of text to text, not str; write it like"),
    *[(name, 5, "must be a list of text, not int; write it like") for name in LISTS],
    *[(name, {"a": 1}, "must be a list of text, not dict; write it like") for name in LISTS],
    *[(name, [5], "must be a list of text, but holds int") for name in LISTS],
    *[(name, "", "must not hold an empty text") for name in LISTS],
    *[
        ("BROWSER_ORIGINS", [origin], f"such as https://www.example.com, not '{origin}'")
        for origin in ("*", "null", "shop.example", "https://*.example", "https://a.example/shop")
    ],
    ("BROWSER_ORIGINS", ["https://a.example?b"], "must hold origins such as"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "reason"), WRONG)
def test_wrong_values_are_refused_by_name(name: str, value: Any, reason: str) -> None:
    message = refusal_of(**{name: value})
    assert message.startswith(f"FLAGSMITH_{name} ")
    assert reason in message
    assert message.endswith((".", "?")) or "write it like" in message


@pytest.mark.parametrize(
    ("name", "raw", "advice"),
    [
        ("STRICT", "maybe", "=true"),
        ("STRICT", "2", "=true"),
        ("REQUEST_TIMEOUT_SECONDS", "soon", "=2.5"),
        ("WEBHOOK_SECRET", "31337", """='"1234"'"""),
        ("API_URL", "31337", "=https://flagsmith.example.com/api/v1/"),
        ("REALTIME_API_URL", "31337", "=https://flagsmith.example.com/"),
        ("BROWSER_TRAITS", "5", """='["plan", "country"]'"""),
        ("DEFAULTS", "{'a': 1}", """='{"new_checkout": true, "banner_text": "Hi"}'"""),
    ],
)
@pytest.mark.parametrize("prefix", ["FLASK", "SHOP"])
def test_an_error_shows_the_environment_variable_that_the_value_came_from(
    monkeypatch: pytest.MonkeyPatch, prefix: str, name: str, raw: str, advice: str
) -> None:
    app = Flask(__name__)
    monkeypatch.setenv(f"{prefix}_FLAGSMITH_{name}", raw)
    app.config.from_prefixed_env(prefix)
    with pytest.raises(ConfigError) as refused:
        read_config(app.config, testing=True)
    assert str(refused.value).endswith(f"write it like {prefix}_FLAGSMITH_{name}{advice}")


def test_an_error_shows_the_assignment_if_the_app_overwrote_the_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLASK_FLAGSMITH_STRICT", "true")
    assert refusal_of(STRICT="maybe").endswith(
        'write it like app.config["FLAGSMITH_STRICT"] = True'
    )


def test_every_setting_refuses_something() -> None:
    refused = {name for name, _, _ in WRONG}
    assert refused == {field.name.upper() for field in dataclasses.fields(Config)}


def test_keys_that_are_not_text_are_ignored() -> None:
    settings: Any = {1: 2, None: 3, "FLAGSMITH_ENVIRONMENT_KEY": KEY}
    assert read_config(settings) == read()


def test_none_counts_as_not_set() -> None:
    names = [field.name.upper() for field in dataclasses.fields(Config)]
    settings: dict[str, Any] = {f"FLAGSMITH_{name}": None for name in names}
    assert read_config({**settings, "FLAGSMITH_ENVIRONMENT_KEY": KEY}) == read()


def test_other_settings_are_ignored(caplog: pytest.LogCaptureFixture) -> None:
    read_config({"FLAGSMITH_ENVIRONMENT_KEY": KEY, "SECRET_KEY": 5, "FLAGS": object()})
    assert caplog.text == ""


# No key.


def test_without_a_key_the_error_says_where_to_get_one() -> None:
    with pytest.raises(ConfigError, match=r"FLAGSMITH_ENVIRONMENT_KEY is missing. Copy a key from"):
        read_config({})


def test_apps_under_test_or_offline_need_no_key() -> None:
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


def test_the_kind_of_key_holds_no_key() -> None:
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
        ("BROWSER_ORIGINS", ["https://user:hush@shop.example"]),
        ("APPLICATION_NAME", b"hush"),
    ],
)
def test_no_error_repeats_a_secret(name: str, value: Any) -> None:
    message = refusal_of(**{name: value})
    assert "hush" not in message
    assert f"FLAGSMITH_{name}" in message
