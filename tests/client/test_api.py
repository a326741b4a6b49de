"""The API's client: what it makes of each answer, and its errors."""

from __future__ import annotations

import base64
import gzip
import json
import random
from typing import Any

import pytest

from flask_flagsmith_realtime.exceptions import InvalidDocumentError
from tests.support import recorded
from tests.support.apis import MakeAPI, fetch_error, fetch_patiently
from tests.support.misbehaving import MisbehavingFlagsmith, answers
from tests.support.misbehaving.answers import Behaviour, Call
from tests.support.waiting import PATIENCE_SECONDS

# Good answers


def test_the_document_becomes_a_snapshot(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    epoch = flagsmith.change("banner_text", value="Hello")
    snapshot = make_api().fetch()
    assert snapshot.flags["banner_text"].value == "Hello"
    assert snapshot.epoch == epoch
    assert snapshot.environment_id == flagsmith.client_side_key


def test_flags_become_a_snapshot(flagsmith: MisbehavingFlagsmith, make_api: MakeAPI) -> None:
    epoch = flagsmith.change("banner_text", value="Hello")
    snapshot = make_api(ENVIRONMENT_KEY=flagsmith.client_side_key).fetch()
    assert snapshot.flags["banner_text"].value == "Hello"
    assert snapshot.epoch == epoch
    assert snapshot.environment_id == flagsmith.client_side_key
    assert [call.path for call in flagsmith.calls] == ["/api/v1/flags/"]


def test_the_documents_own_epoch_counts_and_not_the_headers(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    epoch = flagsmith.change("banner_text", value="Hello")
    flagsmith.environment_document.always(answers.lagging_header(60))
    assert make_api().fetch().epoch == epoch


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777.0),
        ("yesterday", None),
        ("Fri, 31 Dec 999999999 23:59:59 GMT", None),
        (None, None),
    ],
)
def test_the_date_of_the_answer_is_kept(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI, date: str | None, expected: float | None
) -> None:
    headers = {} if date is None else {"Date": date}
    for key, endpoint, body in (
        (flagsmith.server_side_key, flagsmith.environment_document, flagsmith.truth.version.body),
        (flagsmith.client_side_key, flagsmith.flags, b"[]"),
    ):
        endpoint.next(answers.body(body, headers))
        assert make_api(ENVIRONMENT_KEY=key).fetch().server_date == expected


def test_without_an_epoch_in_the_document_the_headers_counts(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    version = flagsmith.truth.version
    document = {**version.document, "updated_at": None}
    headers = {answers.EPOCH_HEADER: "1673546928.02806"}
    flagsmith.environment_document.next(answers.body(json.dumps(document).encode(), headers))
    assert make_api().fetch().epoch == 1673546928.02806


def test_calls_are_never_conditional_and_share_a_connection(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    api = make_api()
    for _ in range(3):
        api.fetch()
    assert {call.connection for call in flagsmith.calls} == {1}
    for call in flagsmith.calls:
        assert not {"if-modified-since", "if-none-match", "authorization", "cookie"} & {
            *call.headers
        }
        assert call.headers["x-environment-key"] == flagsmith.server_side_key


def test_custom_headers_are_sent(flagsmith: MisbehavingFlagsmith, make_api: MakeAPI) -> None:
    make_api(CUSTOM_HEADERS={"X-Gateway": "let me in"}).fetch()
    assert flagsmith.calls[0].headers["x-gateway"] == "let me in"


# Bad answers


@pytest.mark.parametrize("status", [400, 408, 500, 502, 503, 504, 304, 204, 299, 799])
def test_a_status_is_named(flagsmith: MisbehavingFlagsmith, make_api: MakeAPI, status: int) -> None:
    flagsmith.environment_document.next(answers.html(status))
    assert f"Flagsmith answered {status}" in str(fetch_error(make_api()))


def test_the_servers_own_words_are_not_repeated(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    def send_odd_status(call: Call) -> None:
        call.exchange.send(b"HTTP/1.1 500 \x1b[31mrun this\r\nContent-Length: 0\r\n\r\n")

    flagsmith.environment_document.next(send_odd_status)
    assert "run this" not in str(fetch_error(make_api()))


def test_the_error_of_a_refused_key_says_what_to_check(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    flagsmith.environment_document.next(answers.forbid, answers.status(401))
    api = make_api()
    for status in (403, 401):
        message = str(fetch_error(api))
        assert f"with {status}" in message
        assert "server-side key (ser.…" in message
        assert "FLAGSMITH_ENVIRONMENT_KEY" in message
        assert "FLAGSMITH_API_URL" in message
    assert api.fetch().flags["new_checkout"].enabled


def test_a_wrong_url_is_named(flagsmith: MisbehavingFlagsmith, make_api: MakeAPI) -> None:
    message = str(fetch_error(make_api(API_URL=f"{flagsmith.api_server.origin}/api/v1/nope")))
    assert "/api/v1/nope/environment-document/" in message
    assert "FLAGSMITH_API_URL" in message


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [("7", 7, 7), (answers.date_in(3600), 3000, 3600)],
    ids=["seconds", "date"],
)
def test_retry_after_is_handed_on(
    flagsmith: MisbehavingFlagsmith,
    make_api: MakeAPI,
    retry_after: str,
    least: float,
    most: float,
) -> None:
    flagsmith.environment_document.next(answers.too_many(retry_after))
    asked = fetch_error(make_api()).retry_after
    assert asked is not None
    assert least <= asked <= most


def break_deep_inside(document: dict[str, Any]) -> None:
    segment = document["project"]["segments"][0]
    segment["rules"][0]["rules"][0]["conditions"][0]["operator"] = None


def test_an_unusable_body_is_refused_with_the_reason(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    unusable = {
        "not JSON": answers.html(200),
        "not JSON (Input data was truncated": answers.body(b""),
        "not JSON (JSON is malformed": answers.body(b'{"a": NaN}'),
        "nested too deeply": answers.body(b'{"a": ' + b"[" * 1_000_000),
        "utf-8": answers.body(b'"\xff"'),
        "$: Object missing required field `api_key`": answers.body(b"{}"),
        "$: Expected `object`, got `null`": answers.body(b"null"),
        "$.feature_states: Expected `array`, got `object`": answers.mangled(
            lambda document: document.update(feature_states={})
        ),
        "$.project.segments[0].rules[0].rules[0].conditions[0].operator: Expected `str`": (
            answers.mangled(break_deep_inside)
        ),
    }
    api = make_api()
    for reason, behaviour in unusable.items():
        flagsmith.environment_document.next(behaviour)
        error = fetch_error(api)
        assert isinstance(error, InvalidDocumentError)
        assert reason in str(error)
    assert api.fetch().flags


@pytest.mark.parametrize("body", [b"{}", b'[{"feature": 1}]', b"<p>", b"[1]"])
def test_unusable_flags_are_refused(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI, body: bytes
) -> None:
    flagsmith.flags.next(answers.body(body))
    error = fetch_error(make_api(ENVIRONMENT_KEY=flagsmith.client_side_key))
    assert isinstance(error, InvalidDocumentError)


@pytest.mark.parametrize(
    ("behaviour", "words", "timeout"),
    [
        (answers.cut_off, "the answer was cut off", PATIENCE_SECONDS),
        (answers.reset, "connection reset by peer", PATIENCE_SECONDS),
        (answers.vanish, "closed the connection without an answer", PATIENCE_SECONDS),
        (answers.hang, "no answer in time", 1.0),
        (answers.hang_in_body, "no answer in time", 1.0),
    ],
)
def test_an_incomplete_answer_is_an_error(
    flagsmith: MisbehavingFlagsmith,
    make_api: MakeAPI,
    behaviour: Behaviour,
    words: str,
    timeout: float,
) -> None:
    flagsmith.environment_document.next(behaviour)
    api = make_api(REQUEST_TIMEOUT_SECONDS=timeout)
    assert words in str(fetch_error(api))
    assert fetch_patiently(api).flags, "the next call is not to suffer from it"


@pytest.mark.parametrize("compressed", [False, True])
def test_a_large_answer_is_read_once_and_again(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI, compressed: bool
) -> None:
    document = recorded.environment_document()
    padding = base64.b64encode(random.Random(1).randbytes(1_500_000)).decode()

    def answer_with(name: str) -> bytes:
        body = json.dumps({"new": padding, **document, "name": name}).encode()
        headers = {**answers.JSON, **({"Content-Encoding": "gzip"} if compressed else {})}
        content = gzip.compress(body, 1) if compressed else body
        flagsmith.environment_document.always(answers.body(content, headers))
        return body

    api = make_api()
    body = answer_with("one")
    first = api.fetch()
    assert first.pages == (body,)
    assert api.fetch(first).document is first.document
    body = answer_with("two")
    assert api.fetch(first).pages == (body,)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "the answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 200 + b"\r\n", "the answer is not HTTP"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://[\r\n\r\n", "redirects to a malformed URL"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
            "the answer was cut off",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
            "the answer's compression is broken",
        ),
    ],
)
def test_an_answer_that_is_not_valid_http_is_an_error(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI, answer: bytes, words: str
) -> None:
    def send(call: Call) -> None:
        call.exchange.send(answer)
        call.exchange.end()

    flagsmith.environment_document.next(send)
    assert words in str(fetch_error(make_api()))


def test_an_api_that_is_down_is_named(flagsmith: MisbehavingFlagsmith, make_api: MakeAPI) -> None:
    flagsmith.api_server.refuse()
    api = make_api()
    assert "connection refused. Check FLAGSMITH_API_URL" in str(fetch_error(api))
    flagsmith.api_server.listen()
    assert api.fetch().flags


def test_a_host_that_does_not_exist_is_named(make_api: MakeAPI) -> None:
    message = str(fetch_error(make_api(API_URL="http://flagsmith.invalid/api/v1/")))
    assert "name cannot be resolved. Check FLAGSMITH_API_URL" in message


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("API_URL", f"http://{'x' * 70}.com/api/v1/", "there can be no host of that name"),
        ("PROXIES", {"http": "socks5://127.0.0.1:1"}, "SOCKS proxy needs the package PySocks"),
    ],
)
def test_a_setting_that_can_never_work_is_named(
    make_api: MakeAPI, setting: str, value: Any, words: str
) -> None:
    assert words in str(fetch_error(make_api(**{setting: value})))


def test_the_key_does_not_follow_a_redirect(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    flagsmith.environment_document.next(answers.redirect(flagsmith.elsewhere_url))
    message = str(fetch_error(make_api()))
    assert flagsmith.elsewhere_server.origin in message
    assert "FLAGSMITH_API_URL" in message
    assert flagsmith.elsewhere.count == 0
    assert flagsmith.leaks == []


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_of_200_mib_is_not_read_to_its_end(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI, announced: bool
) -> None:
    flagsmith.environment_document.next(answers.huge(announced=announced))
    assert "larger than 64 MiB" in str(fetch_error(make_api()))
    (call,) = flagsmith.calls
    flagsmith.wait_for(lambda: call.ended_at is not None)
    assert call.sent < 100 * 2**20
