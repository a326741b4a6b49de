"""Event streams: over the test client, whose requests are those of a threaded server."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.browser_api import Shop
from tests.support.waiting import PATIENCE_SECONDS


def lines(answer: Any) -> Iterator[str]:
    """The chunks of an open stream, as they come."""
    return (chunk.decode() for chunk in answer.response)


def open_stream(shop: Shop, path: str = "events", **options: Any) -> Any:
    answer = shop.call(path, buffered=False, **options)
    assert answer.status_code == 200, answer.text
    return answer


def epoch_of(chunk: str) -> float:
    fields = dict(line.split(": ", 1) for line in chunk.strip().splitlines())
    epoch: float = json.loads(fields["data"])["updated_at"]
    return epoch


def test_a_change_is_an_event(shop: Shop, emulator: Emulator) -> None:
    answer = open_stream(shop)
    assert answer.mimetype == "text/event-stream"
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert answer.headers["Cache-Control"] == "private, no-store"
    chunks = lines(answer)
    assert next(chunks).startswith("retry: ")
    assert epoch_of(next(chunks)) == emulator.epoch
    with ThreadPoolExecutor() as pool:
        event = pool.submit(next, chunks)
        epoch = emulator.set_flag("new_checkout", enabled=True)
        assert epoch_of(event.result(PATIENCE_SECONDS)) == epoch
    answer.close()
    flags = {flag["feature"]["name"]: flag for flag in shop.call("api/v1/flags/").json}
    assert flags["new_checkout"]["enabled"] is True


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("events?since={}", {}),
        ("events?since=1", {"Last-Event-ID": "{}"}),
        ("since/{}/sse/environments/any/stream", {}),
    ],
)
def test_what_the_browser_knows_is_no_event(
    shop: Shop, emulator: Emulator, path: str, headers: dict[str, str]
) -> None:
    known = repr(emulator.epoch)
    sent = {name: value.format(known) for name, value in headers.items()}
    answer = open_stream(shop, path.format(known), headers=sent)
    chunks = lines(answer)
    assert next(chunks).startswith("retry: ")
    with ThreadPoolExecutor() as pool:
        event = pool.submit(next, chunks)
        epoch = emulator.set_flag("new_checkout", enabled=True)
        assert epoch_of(event.result(PATIENCE_SECONDS)) == epoch
    answer.close()


def test_a_quiet_stream_has_heartbeats(
    shop: Shop, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_flagsmith_realtime.browser.events.HEARTBEAT_SECONDS", 0.01)
    answer = open_stream(shop, f"events?since={emulator.epoch!r}")
    chunks = lines(answer)
    next(chunks)
    assert [next(chunks)[0] for _ in range(3)] == [":", ":", ":"]
    answer.close()


def test_the_streams_of_a_process_are_bounded(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.settings["FLAGSMITH_BROWSER_STREAMS"] = 2
    assert shop.call("epoch").json["stream"] is True
    first, second = open_stream(shop), open_stream(shop)
    with caplog.at_level(logging.INFO):
        refused = shop.call("events")
        shop.call("events")
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "30"
    assert list(refused.json) == ["detail"]
    assert caplog.text.count("as many event streams open as it may (2)") == 1
    assert shop.call("epoch").json["stream"] is False
    first.close()
    assert shop.call("epoch").json["stream"] is True
    open_stream(shop).close()
    second.close()


def test_a_head_request_takes_no_room(shop: Shop) -> None:
    shop.settings["FLAGSMITH_BROWSER_STREAMS"] = 1
    shop.call("events", "HEAD").close()
    open_stream(shop).close()


def test_the_sdk_polls_where_there_is_no_room(shop: Shop, emulator: Emulator) -> None:
    shop.settings["FLAGSMITH_BROWSER_STREAMS"] = 0
    path = "since/1.0/sse/environments/any/stream"
    retry, event = shop.call(path).text.split("\n\n", 1)
    assert 24_000 <= int(retry.removeprefix("retry: ")) <= 36_000
    assert epoch_of(event) == emulator.epoch
    known = shop.call(f"since/{emulator.epoch!r}/sse/environments/any/stream").text
    assert "data" not in known


def test_an_event_is_repeated_for_the_sdk(
    shop: Shop, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "flask_flagsmith_realtime.browser.events.REPEAT_SECONDS", (0.01, 0.02, 0.03)
    )
    answer = open_stream(shop, "sse/environments/any/stream")
    chunks = lines(answer)
    next(chunks)
    assert [epoch_of(next(chunks)) for _ in range(3)] == [emulator.epoch] * 3
    answer.close()


def test_a_worker_that_serves_one_request_at_a_time_opens_none(
    shop: Shop, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    alone = {"environ_overrides": {"wsgi.multithread": False}}
    assert shop.call("events", **alone).status_code == 503
    assert shop.call("epoch", **alone).json == {"updated_at": emulator.epoch, "stream": False}
    assert caplog.text.count("serves one request at a time") == 1
    assert "--worker-class gthread" in caplog.text


def test_a_stream_has_an_end(shop: Shop) -> None:
    shop.settings["FLAGSMITH_BROWSER_STREAM_SECONDS"] = 1
    assert "environment_updated" in "".join(lines(open_stream(shop)))


def test_a_stream_whose_time_is_over_before_it_starts_has_the_first_event(
    shop: Shop, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_flagsmith_realtime.browser.streams.jitter", lambda seconds: 0.0)
    _, event = lines(open_stream(shop))
    assert epoch_of(event) == emulator.epoch


def test_a_stop_of_the_engine_ends_the_streams(shop: Shop) -> None:
    answer = open_stream(shop)
    chunks = lines(answer)
    next(chunks)
    next(chunks)
    with ThreadPoolExecutor() as pool:
        rest = pool.submit(list, chunks)
        shop.flagsmith.stop(shop.app)
        assert rest.result(PATIENCE_SECONDS) == []
    answer.close()
    assert shop.call("events").status_code == 503


def test_a_remote_change_whose_epoch_lags_is_an_event(shop: Shop, emulator: Emulator) -> None:
    shop.settings["FLAGSMITH_ENVIRONMENT_KEY"] = emulator.client_side_key
    answer = open_stream(shop)
    chunks = lines(answer)
    next(chunks)
    next(chunks)
    with ThreadPoolExecutor() as pool:
        event = pool.submit(next, chunks)
        emulator.lag_header(60)
        emulator.set_flag("new_checkout", enabled=True)
        assert epoch_of(event.result(PATIENCE_SECONDS)) is None
    answer.close()
