"""The stream, byte by byte."""

from __future__ import annotations

import json

import pytest

from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.emulator.listeners import (
    MAX_STREAMS,
    Listeners,
    TooManyStreamsError,
)
from tests.support import recorded
from tests.support.raw_stream import RawStream


def test_it_greets_with_the_current_epoch(emulator: Emulator) -> None:
    with RawStream(emulator) as stream:
        assert stream.status == "HTTP/1.1 200 OK"
        assert stream.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert stream.read() == (
            "event: environment_updated\n"
            "retry: 15000\n"
            f'data: {{"updated_at": {emulator.epoch}}}\n'
            "\n"
        )


def test_it_announces_each_change_to_all(emulator: Emulator) -> None:
    with RawStream(emulator) as one, RawStream(emulator) as other:
        assert [one.read_epoch(), other.read_epoch()] == [emulator.epoch] * 2
        epochs = [emulator.set_flag("new_checkout", enabled=on) for on in (True, False, True)]

        assert epochs == sorted(set(epochs))
        assert [one.read_epoch() for _ in epochs] == epochs
        assert [other.read_epoch() for _ in epochs] == epochs


def test_an_override_of_one_identity_is_announced_and_its_traits_are_not(
    emulator: Emulator,
) -> None:
    with RawStream(emulator) as stream:
        stream.read_epoch()
        emulator.set_traits("ben", plan="pro")
        epochs = [
            emulator.override_identity("ada", "new_checkout", enabled=True),
            emulator.delete_identity_override("ada", "new_checkout"),
        ]

        assert [stream.read_epoch() for _ in epochs] == epochs


def test_a_silent_change_is_not_announced(emulator: Emulator) -> None:
    with RawStream(emulator) as stream:
        before = stream.read_epoch()
        with emulator.silent():
            assert emulator.set_flag("banner_text", value="unannounced") == before
            assert emulator.epoch == before
        after = emulator.set_flag("new_checkout", enabled=True)

        assert stream.read_epoch() == after
        assert '"unannounced"' in json.dumps(emulator.document)


def test_it_can_be_without_a_greeting() -> None:
    with Emulator(greeting=False) as emulator, RawStream(emulator) as stream:
        assert stream.read() == ": welcome\n\n"
        epoch = emulator.set_flag("new_checkout", enabled=True)
        assert stream.read_epoch() == epoch


def test_a_silent_stream_sends_heartbeats() -> None:
    with Emulator(heartbeat_seconds=0.05) as emulator, RawStream(emulator) as stream:
        stream.read_epoch()
        assert [stream.read() for _ in range(3)] == [": heartbeat\n\n"] * 3


def test_it_is_recycled() -> None:
    with Emulator(recycle_seconds=0.1) as emulator, RawStream(emulator) as stream:
        stream.read_epoch()
        assert stream.read() == ""
        assert emulator.wait_for_streams(0)
        with RawStream(emulator) as again:
            assert again.read_epoch() == emulator.epoch
        assert emulator.streams_opened == 2


def test_streams_can_be_ended(emulator: Emulator) -> None:
    with RawStream(emulator) as stream:
        stream.read_epoch()
        epoch = emulator.set_flag("new_checkout", enabled=True)
        emulator.end_streams()
        assert stream.read_epoch() == epoch
        assert stream.read() == ""
    assert emulator.wait_for_streams(0)


def test_a_client_that_goes_away_is_noticed(emulator: Emulator) -> None:
    with RawStream(emulator):
        assert emulator.wait_for_streams(1)
        assert emulator.streams == 1
    assert emulator.wait_for_streams(0)
    assert emulator.streams_opened == 1


def test_waiting_for_streams_that_do_not_come_ends(emulator: Emulator) -> None:
    assert not emulator.wait_for_streams(1, timeout=0.01)


@pytest.mark.parametrize("name", ["nope", "ser.EmulatedShopEnvironment"])
def test_only_the_client_side_key_opens_it(emulator: Emulator, name: str) -> None:
    with RawStream(emulator, name) as stream:
        assert stream.status == "HTTP/1.1 404 NOT FOUND"


def test_a_project_can_have_real_time_updates_off() -> None:
    document = recorded.environment_document()
    document["project"]["enable_realtime_updates"] = False
    with Emulator(document=document) as emulator, RawStream(emulator) as stream:
        assert stream.status == "HTTP/1.1 403 FORBIDDEN"


def test_the_number_of_streams_is_bounded() -> None:
    listeners = Listeners()
    joined = [listeners.join() for _ in range(MAX_STREAMS)]
    with pytest.raises(TooManyStreamsError):
        listeners.join()

    listeners.leave(joined[0])
    listeners.join()
