"""The API's client: what it makes of each answer, what it says, what it never does."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from flask_flagsmith_realtime.client import api as api_module
from flask_flagsmith_realtime.client.api import API
from flask_flagsmith_realtime.config.settings import read_config
from flask_flagsmith_realtime.exceptions import FetchError, InvalidDocumentError
from flask_flagsmith_realtime.model.snapshot import Snapshot
from tests.support.misbehaving import MisbehavingFlagsmith, answers
from tests.support.misbehaving.answers import Behaviour, Call

MakeAPI = Callable[..., API]


@pytest.fixture
def make_api(flagsmith: MisbehavingFlagsmith) -> Iterator[MakeAPI]:
    """Makes clients. Settings are given without their prefix."""
    made: list[API] = []

    def make(**settings: Any) -> API:
        given = {f"FLAGSMITH_{name}": value for name, value in settings.items()}
        api = API(read_config({**flagsmith.config, **given}))
        made.append(api)
        return api

    yield make
    for api in made:
        api.close()


def failure(api: API) -> FetchError:
    """The error of a fetch that must fail, which names the URL and holds no secret."""
    with pytest.raises(FetchError) as caught:
        api.fetch()
    message = str(caught.value)
    assert "/api/v1/" in message
    assert MisbehavingFlagsmith.server_side_key not in message
    assert MisbehavingFlagsmith.client_side_key not in message
    assert caught.value.__cause__ is None, "a cause's text may hold the key"
    return caught.value


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


# Pages


def add_overrides(flagsmith: MisbehavingFlagsmith, count: int) -> None:
    def add(document: dict[str, Any]) -> None:
        (override,) = document["identity_overrides"]
        document["identity_overrides"] = [
            {**override, "identifier": f"user {number}"} for number in range(count)
        ]

    flagsmith.truth.edit(add)


def overridden(snapshot: Snapshot) -> list[str]:
    assert snapshot.document is not None
    return [override["identifier"] for override in snapshot.document["identity_overrides"]]


def test_pages_are_put_together(flagsmith: MisbehavingFlagsmith, make_api: MakeAPI) -> None:
    add_overrides(flagsmith, 5)
    flagsmith.environment_document.always(answers.pages(2))
    snapshot = make_api().fetch()
    assert overridden(snapshot) == [f"user {number}" for number in range(5)]
    assert snapshot.evaluator is not None
    flags = snapshot.evaluator.get_identity_flags("user 4")
    assert flags.is_feature_enabled("new_checkout")
    assert [call.path.partition("?")[2] for call in flagsmith.calls] == [
        "",
        "page_id=2",
        "page_id=4",
    ]


def test_a_change_between_two_pages_leaves_the_answer_old(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    add_overrides(flagsmith, 4)
    before = flagsmith.truth.version.epoch
    page = answers.pages(2)

    def page_and_change(call: Call) -> None:
        page(call)
        flagsmith.change("banner_text", value="changed meanwhile")

    flagsmith.environment_document.next(page_and_change, page)
    assert make_api().fetch().epoch == before


def test_a_first_page_without_overrides_takes_those_of_the_next(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    first = {**flagsmith.truth.version.document, "identity_overrides": None}
    link = {"Link": '<?page_id=1>; rel="next"'}
    flagsmith.environment_document.next(answers.body(json.dumps(first).encode(), link))
    assert overridden(make_api().fetch()) == ["alice@example.com"]


def linking(target: str) -> Behaviour:
    """The right document, whose next page is somewhere."""
    return lambda call: call.exchange.answer(
        200, call.truth.version.body, {"Link": f'<{target}>; rel="next"'}
    )


def test_the_key_does_not_follow_a_link_to_another_origin(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    for target in (flagsmith.elsewhere_url, "https://127.0.0.1/x", "http://[", "//example.org/"):
        flagsmith.environment_document.next(linking(target))
        assert "next page" in str(failure(make_api()))
    assert flagsmith.elsewhere.count == 0
    assert len(flagsmith.calls) == 4


def test_pages_in_a_circle_cost_no_more_than_the_circle(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    flagsmith.environment_document.next(linking("?page_id=1"), linking("?page_id=2"))
    flagsmith.environment_document.next(linking("?page_id=1"))
    assert "pages in a circle" in str(failure(make_api()))
    assert len(flagsmith.calls) == 3


def test_the_number_of_pages_is_bounded(flagsmith: MisbehavingFlagsmith, make_api: MakeAPI) -> None:
    numbers = iter(range(2000))
    flagsmith.environment_document.always(lambda call: linking(f"?page_id={next(numbers)}")(call))
    error = failure(make_api())
    assert "more than 100 pages" in str(error)
    assert len(flagsmith.calls) == 100
    assert error.retry_after == 600


def test_all_pages_together_are_bounded(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_module, "_LARGEST_BODY_BYTES", 10 * 1024)
    numbers = iter(range(100))
    flagsmith.environment_document.always(lambda call: linking(f"?page_id={next(numbers)}")(call))
    assert "larger than" in str(failure(make_api()))
    assert len(flagsmith.calls) == 3


# Bad answers


@pytest.mark.parametrize("status", [400, 408, 500, 502, 503, 504, 304, 204, 299, 799])
def test_a_status_is_named(flagsmith: MisbehavingFlagsmith, make_api: MakeAPI, status: int) -> None:
    flagsmith.environment_document.next(answers.html(status))
    assert f"Flagsmith answered {status}" in str(failure(make_api()))


def test_the_servers_own_words_are_not_repeated(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    def send_odd_status(call: Call) -> None:
        call.exchange.send(b"HTTP/1.1 500 \x1b[31mrun this\r\nContent-Length: 0\r\n\r\n")

    flagsmith.environment_document.next(send_odd_status)
    assert "run this" not in str(failure(make_api()))


def test_a_refused_key_is_named_by_its_kind_with_what_to_check(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    flagsmith.environment_document.next(answers.forbid, answers.status(401))
    api = make_api()
    for status in (403, 401):
        message = str(failure(api))
        assert f"with {status}" in message
        assert "server-side key (ser.…" in message
        assert "FLAGSMITH_ENVIRONMENT_KEY" in message
        assert "FLAGSMITH_API_URL" in message
    assert api.fetch().flags["new_checkout"].enabled


def test_a_wrong_url_is_named(flagsmith: MisbehavingFlagsmith, make_api: MakeAPI) -> None:
    message = str(failure(make_api(API_URL=f"{flagsmith.api_server.origin}/api/v1/nope")))
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
    asked = failure(make_api()).retry_after
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
        "not JSON (Expecting value": answers.body(b""),
        "not JSON (NaN": answers.body(b'{"a": NaN}'),
        "nested too deeply": answers.body(b"[" * 100_000),
        "utf-8": answers.body(b'"\xff"'),
        "api_key should be text": answers.body(b"{}"),
        "the document should be an object": answers.body(b"null"),
        "feature_states should be a list": answers.mangled(
            lambda document: document.update(feature_states={})
        ),
        "project.segments[0].rules[0].rules[0].conditions[0].operator": answers.mangled(
            break_deep_inside
        ),
    }
    api = make_api()
    for reason, behaviour in unusable.items():
        flagsmith.environment_document.next(behaviour)
        error = failure(api)
        assert isinstance(error, InvalidDocumentError)
        assert reason in str(error)
    assert api.fetch().flags


@pytest.mark.parametrize("body", [b"{}", b'[{"feature": 1}]', b"<p>", b"[1]"])
def test_unusable_flags_are_refused(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI, body: bytes
) -> None:
    flagsmith.flags.next(answers.body(body))
    error = failure(make_api(ENVIRONMENT_KEY=flagsmith.client_side_key))
    assert isinstance(error, InvalidDocumentError)


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (answers.cut_off, "the answer was cut off"),
        (answers.reset, "connection reset by peer"),
        (answers.vanish, "closed the connection without an answer"),
        (answers.hang, "no answer in time"),
        (answers.hang_in_body, "no answer in time"),
    ],
)
def test_a_broken_answer_is_an_error(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI, behaviour: Behaviour, words: str
) -> None:
    flagsmith.environment_document.next(behaviour)
    api = make_api(REQUEST_TIMEOUT_SECONDS=0.2)
    assert words in str(failure(api))
    assert api.fetch().flags, "the next call is not to suffer from it"


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
def test_an_answer_in_another_language_is_an_error(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI, answer: bytes, words: str
) -> None:
    def send(call: Call) -> None:
        call.exchange.send(answer)
        call.exchange.end()

    flagsmith.environment_document.next(send)
    assert words in str(failure(make_api()))


def test_an_api_that_is_down_is_named(flagsmith: MisbehavingFlagsmith, make_api: MakeAPI) -> None:
    flagsmith.api_server.refuse()
    api = make_api()
    assert "connection refused" in str(failure(api))
    flagsmith.api_server.listen()
    assert api.fetch().flags


def test_a_host_that_does_not_exist_is_named(make_api: MakeAPI) -> None:
    message = str(failure(make_api(API_URL="http://flagsmith.invalid/api/v1/")))
    assert "name cannot be resolved" in message


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
    assert words in str(failure(make_api(**{setting: value})))


def test_the_key_does_not_follow_a_redirect(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    flagsmith.environment_document.next(answers.redirect(flagsmith.elsewhere_url))
    message = str(failure(make_api()))
    assert flagsmith.elsewhere_server.origin in message
    assert "FLAGSMITH_API_URL" in message
    assert flagsmith.elsewhere.count == 0
    assert flagsmith.leaks == []


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_of_200_mib_is_not_read_to_its_end(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI, announced: bool
) -> None:
    flagsmith.environment_document.next(answers.huge(announced=announced))
    assert "larger than 64 MiB" in str(failure(make_api()))
    (call,) = flagsmith.calls
    flagsmith.wait_for(lambda: call.ended_at is not None)
    assert call.sent < 100 * 2**20


@pytest.mark.parametrize("behaviour", answers.DRIPS.values(), ids=answers.DRIPS)
def test_an_answer_in_drops_does_not_go_on_for_ever(
    flagsmith: MisbehavingFlagsmith,
    make_api: MakeAPI,
    monkeypatch: pytest.MonkeyPatch,
    behaviour: Behaviour,
) -> None:
    monkeypatch.setattr(api_module, "_LONGEST_BODY_SECONDS", 0.2)
    flagsmith.environment_document.next(behaviour)
    api = make_api(REQUEST_TIMEOUT_SECONDS=0.2)
    assert "no answer in time" in str(failure(api))
    assert api.fetch().flags, "the next call is not to suffer from it"


def test_a_body_has_more_time_than_its_beginning(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    def come_slowly(call: Call) -> None:
        text = call.truth.version.body
        call.exchange.send(answers.head(200, [("Content-Length", str(len(text)))]))
        for start in range(0, len(text), len(text) // 6):
            call.exchange.wait(0.1)
            call.exchange.send(text[start : start + len(text) // 6])

    flagsmith.environment_document.next(come_slowly)
    assert make_api(REQUEST_TIMEOUT_SECONDS=0.4).fetch().flags


def test_a_fetch_needs_no_further_thread(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where the system has none left, nobody looks at the clock.
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    api = make_api()
    api.fetch()
    monkeypatch.setattr(threading.Thread, "start", fail)
    assert api.fetch().flags


# Connections


def connections(flagsmith: MisbehavingFlagsmith) -> list[int]:
    """The number of the connection on which each call came."""
    return [call.connection for call in flagsmith.calls]


@pytest.mark.parametrize(
    "close",
    [
        answers.vanish,
        lambda call: call.exchange.reset(),
        # Some load balancers say so when a connection has been idle for too long.
        answers.status(408, {"Connection": "close"}),
    ],
    ids=["end", "reset", "408"],
)
def test_a_call_on_a_connection_that_the_api_closes_is_repeated_on_a_new_one(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI, close: Behaviour
) -> None:
    api = make_api()
    api.fetch()
    flagsmith.environment_document.next(close)
    assert api.fetch().flags
    assert connections(flagsmith) == [1, 1, 2]


def test_a_call_on_a_new_connection_that_the_api_closes_is_repeated_as_well(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    api = make_api()
    api.fetch()
    # As when one of the API's processes ends: it closes what it keeps and what is new.
    flagsmith.api_server.drop()
    flagsmith.wait_for(lambda: flagsmith.api_server.connections == 0)
    flagsmith.environment_document.next(answers.vanish)
    assert api.fetch().flags
    assert connections(flagsmith) == [1, 2, 3]


def test_a_call_is_repeated_once_only_until_one_succeeds(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    api = make_api()
    api.fetch()
    flagsmith.environment_document.always(answers.vanish)
    for _ in range(3):
        failure(api)
    assert connections(flagsmith) == [1, 1, 2, 3, 4]


def test_an_old_connection_is_replaced(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = make_api()
    api.fetch()
    monkeypatch.setattr(api_module, "_LONGEST_CONNECTION_SECONDS", -1.0)
    api.renew_connection()
    for _ in range(3):
        api.fetch()
    assert connections(flagsmith) == [1, 2, 3, 4]


def test_a_replica_that_lags_is_left_by_a_new_connection(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    # A balancer that balances connections, not requests.
    lagging = answers.serving(flagsmith.truth.version)
    flagsmith.environment_document.always(
        lambda call: (lagging if call.exchange.request.connection == 1 else answers.truth)(call)
    )
    api = make_api()
    before = api.fetch().epoch
    epoch = flagsmith.change("banner_text", value="Hello")
    assert api.fetch().epoch == before
    api.renew_connection()
    assert api.fetch().epoch == epoch


def test_a_host_that_moves_to_another_address_is_followed(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Successor(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    port = flagsmith.api_server.port
    body = flagsmith.truth.version.body
    flagsmith.change("banner_text", value="the old machine lives on")
    addresses = ["127.0.0.1"]
    resolve = socket.getaddrinfo

    # There is no resolver at hand whose answers change.
    def resolve_moving(host: str, *args: Any, **options: Any) -> Any:
        return resolve(addresses[-1] if host == "moving.invalid" else host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_moving)
    api = make_api(API_URL=f"http://moving.invalid:{port}/api/v1/")
    assert api.fetch().flags["banner_text"].value == "the old machine lives on"
    with HTTPServer(("127.0.0.2", port), Successor) as successor:
        serving = threading.Thread(target=successor.handle_request)
        serving.start()
        addresses.append("127.0.0.2")
        api.renew_connection()
        assert api.fetch().flags["banner_text"].value == "Welcome!"
        serving.join(10)


def test_a_fetch_that_hangs_can_be_interrupted(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    flagsmith.environment_document.always(answers.hang)
    api = make_api(REQUEST_TIMEOUT_SECONDS=600)
    fetching = threading.Thread(target=failure, args=(api,))
    fetching.start()
    flagsmith.wait_for(lambda: flagsmith.environment_document.count == 1)
    api.interrupt()
    fetching.join(10)
    assert not fetching.is_alive()
