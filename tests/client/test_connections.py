"""The API's connections: kept, renewed, repeated, limited in time."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from flask_flagsmith_realtime.client import api as api_module
from tests.support.apis import MakeAPI, fetch_error, fetch_patiently
from tests.support.misbehaving import MisbehavingFlagsmith, answers
from tests.support.misbehaving.answers import Behaviour, Call
from tests.support.waiting import PATIENCE_SECONDS


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


def test_an_api_that_keeps_no_connection_costs_a_second_request_for_each_call(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    flagsmith.environment_document.always(answers.once_per_connection())
    api = make_api()
    for _ in range(3):
        assert api.fetch().flags
    assert connections(flagsmith) == [1, 1, 2, 2, 3]


def test_a_call_is_repeated_once_only_until_one_succeeds(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    api = make_api()
    api.fetch()
    flagsmith.environment_document.always(answers.vanish)
    for _ in range(3):
        fetch_error(api)
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
    lagging = answers.serving(flagsmith.truth.version)
    flagsmith.environment_document.always(answers.by_connection(lagging, answers.truth))
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
        serving.join(PATIENCE_SECONDS)


def test_a_fetch_that_hangs_can_be_interrupted(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    flagsmith.environment_document.always(answers.hang)
    api = make_api(REQUEST_TIMEOUT_SECONDS=600)
    fetching = threading.Thread(target=fetch_error, args=(api,))
    fetching.start()
    flagsmith.wait_for(lambda: flagsmith.environment_document.count == 1)
    api.interrupt()
    fetching.join(PATIENCE_SECONDS)
    assert not fetching.is_alive()


@pytest.mark.parametrize("behaviour", answers.DRIPS.values(), ids=answers.DRIPS)
def test_an_answer_in_drops_is_ended(
    flagsmith: MisbehavingFlagsmith,
    make_api: MakeAPI,
    monkeypatch: pytest.MonkeyPatch,
    behaviour: Behaviour,
) -> None:
    monkeypatch.setattr(api_module, "_LONGEST_BODY_SECONDS", 0.5)
    flagsmith.environment_document.next(behaviour)
    api = make_api(REQUEST_TIMEOUT_SECONDS=0.5)
    assert "no answer in time" in str(fetch_error(api))
    monkeypatch.undo()
    assert fetch_patiently(api).flags, "the next call is not to suffer from it"


def test_a_body_has_more_time_than_its_beginning(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI
) -> None:
    def come_slowly(call: Call) -> None:
        text = call.truth.version.body
        call.exchange.send(answers.head(200, [("Content-Length", str(len(text)))]))
        for start in range(0, len(text), len(text) // 60):
            call.exchange.wait(0.1)
            call.exchange.send(text[start : start + len(text) // 60])

    flagsmith.environment_document.next(come_slowly)
    assert make_api(REQUEST_TIMEOUT_SECONDS=5.0).fetch().flags


def test_a_fetch_needs_no_further_thread(
    flagsmith: MisbehavingFlagsmith, make_api: MakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without a thread for the watchdog, the deadline of the whole call is not enforced.
    start, this = threading.Thread.start, threading.current_thread()

    def fail_here(thread: threading.Thread) -> None:
        if threading.current_thread() is this:
            raise RuntimeError("can't start new thread")
        start(thread)

    api = make_api()
    api.fetch()
    monkeypatch.setattr(threading.Thread, "start", fail_here)
    assert api.fetch().flags
