"""``flask flagsmith watch`` in a process of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.command_line import Directory
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

#: The first lines. A second answer of Flagsmith's can put the signal of the first behind the other.
READY = {
    "Watching 6 features. Ctrl-C ends it.",
    "The stream is open: changes arrive at once.",
}


def test_watch_prints_changes_as_text(tmp_path: Path, emulator: Emulator) -> None:
    with Directory(tmp_path, emulator.config).start_patiently("flagsmith", "watch") as watch:
        assert {watch.err.next(), watch.err.next()} == READY

        def next_change() -> str:
            moment, _, text = watch.out.next().partition("  ")
            assert re.fullmatch(r"\d\d:\d\d:\d\d", moment)
            return text

        emulator.set_flag("banner_text", value="Bye")
        assert next_change() == 'banner_text  "Welcome to the tea shop" → "Bye"'
        emulator.set_flag("new_checkout", enabled=True)
        assert next_change() == "new_checkout  off → on"
        emulator.set_flag("brand_new", enabled=True, value=3)
        assert next_change() == "brand_new  new: on, 3"
        emulator.delete_flag("brand_new")
        assert next_change() == "brand_new  removed, was on, 3"
        emulator.override_segment("pro_customers", "beta_dashboard", enabled=False)
        assert next_change() == "beta_dashboard  changed for some identities"
        opened = emulator.streams_opened
        emulator.end_streams()
        eventually(lambda: emulator.streams_opened > opened)
        assert watch.interrupt() == 0
        assert watch.err.rest() == [""]


def test_watch_as_json_is_one_object_a_line(tmp_path: Path, emulator: Emulator) -> None:
    with Directory(tmp_path, emulator.config).start("flagsmith", "watch", "--json") as watch:
        watch.err.find(lambda line: "stream is open" in line)
        epoch = emulator.set_flag("banner_text", value="Bye → you")
        change = json.loads(watch.out.next())
        assert change["feature_name"] == "banner_text"
        assert change["before"]["value"] == "Welcome to the tea shop"
        assert change["after"]["value"] == "Bye → you"
        assert change["targeting_changed"] is False
        assert change["epoch"] == pytest.approx(epoch)
        assert watch.interrupt() == 0


def test_watch_reports_an_outage_of_the_stream(tmp_path: Path) -> None:
    # Its greeting would ask for longer waits before the stream is opened again.
    with (
        Emulator(greeting=False) as emulator,
        Directory(tmp_path, emulator.config).start("flagsmith", "watch") as watch,
    ):
        watch.err.find(lambda line: "stream is open" in line)
        emulator.stop()
        down = watch.err.find(lambda line: line.startswith("The stream is down"))
        assert down.endswith("flags are fetched every 60 s.")
        emulator.start()
        watch.err.find(lambda line: "changes arrive at once" in line)
        assert watch.interrupt() == 0


def test_watch_follows_under_test_with_a_key(tmp_path: Path, emulator: Emulator) -> None:
    directory = Directory(tmp_path, {**emulator.config, "TESTING": "true"})
    with directory.start("flagsmith", "watch") as watch:
        watch.err.find(lambda line: "stream is open" in line)
        emulator.set_flag("new_checkout", enabled=True)
        assert watch.out.next().endswith("new_checkout  off → on")


def test_watch_under_test_without_a_key_is_an_error_without_a_call(
    tmp_path: Path, emulator: Emulator
) -> None:
    settings = {**emulator.config, "TESTING": "true"}
    del settings["FLAGSMITH_ENVIRONMENT_KEY"]
    result = Directory(tmp_path, settings).flask("flagsmith", "watch")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: FLAGSMITH_ENVIRONMENT_KEY is missing.")
    assert not emulator.calls


def test_watch_stays_out_of_a_fleet(tmp_path: Path, emulator: Emulator) -> None:
    redis = RedisServer(tmp_path).start()
    try:
        directory = Directory(tmp_path, {**emulator.config, "FLAGSMITH_REDIS_URL": redis.url})
        with directory.start_patiently("flagsmith", "watch") as watch:
            assert watch.err.next().startswith("FLAGSMITH_REDIS_URL is set: this command opens")
            assert {watch.err.next(), watch.err.next()} == READY
            emulator.set_flag("new_checkout", enabled=True)
            assert watch.out.next().endswith("new_checkout  off → on")
            assert redis.keys() == {}
            assert redis.subscribers() == 0
            assert watch.interrupt() == 0
            assert watch.err.rest() == [""]
    finally:
        redis.close()
