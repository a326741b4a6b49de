"""Starting, stopping, and where it listens."""

from __future__ import annotations

import socket
import threading

import pytest
import requests

from flask_flagsmith_realtime.emulator import Emulator, ServerError
from tests.support.raw_stream import RawStream
from tests.support.waiting import PATIENCE_SECONDS


def test_it_has_addresses_and_settings(emulator: Emulator) -> None:
    assert emulator.url.startswith("http://127.0.0.1:")
    assert emulator.api_url == emulator.url + "api/v1/"
    assert emulator.realtime_api_url == emulator.url
    assert emulator.config == {
        "FLAGSMITH_ENVIRONMENT_KEY": emulator.server_side_key,
        "FLAGSMITH_API_URL": emulator.api_url,
        "FLAGSMITH_REALTIME_API_URL": emulator.realtime_api_url,
        "FLAGSMITH_EVENTS_API_URL": emulator.events_api_url,
    }
    assert emulator.server_side_key.startswith("ser.")


def test_each_start_of_the_sample_has_a_newer_epoch() -> None:
    first, second = Emulator(), Emulator()

    assert second.epoch > first.epoch


def test_before_the_start_it_has_no_address() -> None:
    with pytest.raises(RuntimeError, match="start it first"):
        _ = Emulator().url


def test_a_port_that_is_taken_is_a_clear_error(emulator: Emulator) -> None:
    port = int(emulator.url.rstrip("/").rpartition(":")[2])

    with pytest.raises(ServerError, match=f"port {port}: Address already in use. Choose another"):
        Emulator(port=port).start()


def test_a_port_that_does_not_exist_is_a_clear_error() -> None:
    with pytest.raises(ServerError, match="There is no port 70000"):
        Emulator(port=70000).start()


def test_it_listens_on_loopback_only(emulator: Emulator) -> None:
    port = int(emulator.url.rstrip("/").rpartition(":")[2])

    # If it listened on all addresses, the port would be taken on this one, too.
    with socket.socket() as other:
        other.bind(("127.0.0.2", port))


def test_stopping_ends_the_streams(emulator: Emulator) -> None:
    streams = [RawStream(emulator) for _ in range(3)]
    for stream in streams:
        stream.read_epoch()
    emulator.stop()
    for stream in streams:
        with stream:
            assert stream.read() == ""
    with pytest.raises(requests.ConnectionError):
        requests.get(emulator.url, timeout=PATIENCE_SECONDS)


def test_it_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    with Emulator() as emulator, RawStream(emulator) as stream:
        stream.read_epoch()
        started = set(threading.enumerate()) - before
    # Those of other tests come and go, too.
    own = [
        t for t in started if t.name.endswith(("flagsmith-emulator", "(process_request_thread)"))
    ]
    for thread in own:
        thread.join(PATIENCE_SECONDS)

    assert [thread.is_alive() for thread in own] == [False, False]


def test_it_can_be_started_again_at_the_same_address() -> None:
    emulator = Emulator()
    for banner in ("first", "second"):
        with emulator:
            emulator.set_flag("banner_text", value=banner)
            url = emulator.url
            response = requests.get(
                emulator.api_url + "flags/?feature=banner_text",
                headers={"X-Environment-Key": emulator.client_side_key},
                timeout=PATIENCE_SECONDS,
            )
            assert response.json()["feature_state_value"] == banner
        assert emulator.url == url


def test_starting_and_stopping_twice_does_no_harm() -> None:
    emulator = Emulator().start()
    url = emulator.url
    assert emulator.start().url == url
    emulator.stop()
    emulator.stop()


def test_a_key_that_is_not_a_server_side_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"starts with 'ser\.'"):
        Emulator(server_side_key="secret")


def test_its_keys_are_in_no_representation(emulator: Emulator) -> None:
    assert emulator.server_side_key not in repr(emulator)
    assert emulator.server_side_key not in requests.get(emulator.url, timeout=PATIENCE_SECONDS).text
