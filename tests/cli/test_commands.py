"""The commands that read and follow flags: their output and exit statuses."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime
from flask_flagsmith_realtime.cli.commands import trait_value
from flask_flagsmith_realtime.emulator import Emulator
from tests.support.apps import MakeApp
from tests.support.command_line import Directory
from tests.support.redis_server import RedisServer

COLUMNS = 80
#: Nothing listens here.
NOWHERE = "http://127.0.0.1:9/api/v1/"

#: Before click 8.2, a runner separates standard error only on request.
APART: dict[str, Any] = (
    {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}
)

MakeCommandApp = Callable[..., Flask]


@pytest.fixture
def make_quiet(make_app: MakeApp) -> MakeCommandApp:
    """Makes apps as a command finds them: set up, with nothing started."""

    def make(**settings: Any) -> Flask:
        return make_app(AUTOSTART=False, **settings)

    return make


def run(app: Flask, *arguments: str) -> Result:
    return app.test_cli_runner(**APART).invoke(args=["flagsmith", *arguments])


# list


def test_list_shows_state_value_and_reason(make_quiet: MakeCommandApp) -> None:
    result = run(make_quiet(), "list")
    assert result.exit_code == 0
    heading, *rows = result.stdout.splitlines()
    assert heading.split() == ["FEATURE", "STATE", "VALUE", "WHY"]
    assert [row.split()[0] for row in rows] == sorted(row.split()[0] for row in rows)
    banner = next(row for row in rows if row.startswith("banner_text"))
    assert re.fullmatch(r'banner_text +on +"Welcome to the tea shop" +environment', banner)
    checkout = next(row for row in rows if row.startswith("new_checkout"))
    assert re.fullmatch(r"new_checkout +off +- +environment", checkout)


def test_list_for_an_identity_shows_segments_overrides_and_splits(
    make_quiet: MakeCommandApp, emulator: Emulator
) -> None:
    emulator.override_identity("ann", "banner_text", value="Hi Ann")
    arguments = "list", "--identity", "ann", "--trait", "plan=pro", "--trait", "age=42"
    lines = run(make_quiet(), *arguments).stdout.splitlines()
    rows = {line.split()[0]: line for line in lines}
    assert rows["beta_dashboard"].endswith("segment pro_customers")
    assert " on " in rows["beta_dashboard"]
    assert '"Hi Ann"' in rows["banner_text"]
    assert rows["banner_text"].endswith("identity override")
    assert rows["button_colour"].endswith("split, 20 %")


def test_list_fits_80_columns(make_quiet: MakeCommandApp, emulator: Emulator) -> None:
    emulator.set_flag("a" * 90, enabled=True, value="b" * 500)
    emulator.set_flag("lines", value="one\ntwo\x1b[31mred\x9b31m")
    for line in run(make_quiet(), "list").stdout.splitlines():
        assert len(line) <= COLUMNS
        assert line.isprintable()


def test_list_as_json(make_quiet: MakeCommandApp) -> None:
    flags = json.loads(run(make_quiet(), "list", "--json").stdout)
    banner = next(flag for flag in flags if flag["feature_name"] == "banner_text")
    assert banner["enabled"] is True
    assert banner["value"] == "Welcome to the tea shop"
    assert banner["reason"] == "STATIC"
    assert banner["is_default"] is False


def test_list_in_remote_evaluation(make_quiet: MakeCommandApp, emulator: Emulator) -> None:
    app = make_quiet(ENVIRONMENT_KEY=emulator.client_side_key)
    assert "Welcome to the tea shop" in run(app, "list").stdout
    assert emulator.calls == {"flags/": 1}
    lines = run(app, "list", "--identity", "ann", "--trait", "plan=pro").stdout.splitlines()
    rows = {line.split()[0]: line for line in lines}
    assert " on " in rows["beta_dashboard"]


@pytest.mark.parametrize("command", [("list",), ("get", "banner_text")])
def test_reading_costs_one_call_and_no_stream(
    make_quiet: MakeCommandApp, emulator: Emulator, command: tuple[str, ...]
) -> None:
    run(make_quiet(), *command)
    assert emulator.calls == {"environment-document/": 1}
    assert emulator.streams_opened == 0


def test_a_real_command_starts_nothing_though_autostart_is_on(
    tmp_path: Path, emulator: Emulator
) -> None:
    directory = Directory(tmp_path, emulator.config)
    result = directory.flask("flagsmith", "list")
    assert "banner_text" in result.stdout
    assert "\x1b" not in result.stdout
    assert emulator.calls == {"environment-document/": 1}
    assert emulator.streams_opened == 0


def test_flask_routes_touches_no_network(tmp_path: Path, emulator: Emulator) -> None:
    result = Directory(tmp_path, emulator.config).flask("routes")
    assert "home" in result.stdout
    assert not emulator.calls
    assert emulator.streams_opened == 0


def test_during_an_outage_defaults_are_shown_with_a_warning(
    make_quiet: MakeCommandApp,
) -> None:
    app = make_quiet(API_URL=NOWHERE, DEFAULTS={"banner_text": "by default"})
    result = run(app, "list")
    assert result.exit_code == 0
    assert re.search(r'banner_text +on +"by default" +default', result.stdout)
    assert f"Warning: Flagsmith could not be asked at {NOWHERE}" in result.stderr


def test_during_an_outage_the_snapshot_file_is_shown(
    make_quiet: MakeCommandApp, make_app: MakeApp, tmp_path: Path, emulator: Emulator
) -> None:
    file = tmp_path / "snapshot"
    writer = make_app(SNAPSHOT_FILE=file)
    assert emulator.wait_for_streams(1)
    writer.extensions["flagsmith_realtime"].realtime.stop()
    assert file.exists()
    result = run(make_quiet(API_URL=NOWHERE, SNAPSHOT_FILE=file), "get", "banner_text")
    assert result.exit_code == 0
    assert "Welcome to the tea shop" in result.stdout
    assert "Warning: Flagsmith could not be asked" in result.stderr


def test_an_outage_without_any_flags_is_an_error(make_quiet: MakeCommandApp) -> None:
    for command in (["list"], ["get", "banner_text"]):
        result = run(make_quiet(API_URL=NOWHERE), *command)
        assert result.exit_code == 1
        assert not result.stdout
        assert "Error: Flagsmith could not be asked" in result.stderr


def test_an_offline_file_is_read_without_a_call(tmp_path: Path, emulator: Emulator) -> None:
    file = tmp_path / "environment.json"
    file.write_text(json.dumps(emulator.document))
    app = Flask("shop")
    app.config["FLAGSMITH_OFFLINE_FILE"] = file
    FlagsmithRealtime(app)
    assert "Welcome to the tea shop" in run(app, "list").stdout
    assert run(app, "get", "new_checkout").exit_code == 3
    assert not emulator.calls


def test_an_app_under_test_makes_no_call(emulator: Emulator) -> None:
    app = Flask("shop")
    app.config.update(emulator.config, TESTING=True, FLAGSMITH_DEFAULTS={"banner_text": "Hi"})
    FlagsmithRealtime(app)
    assert '"Hi"' in run(app, "list").stdout
    assert not emulator.calls


# get


def test_the_exit_status_of_get_is_the_state(make_quiet: MakeCommandApp) -> None:
    app = make_quiet()
    on, off = run(app, "get", "banner_text"), run(app, "get", "new_checkout")
    assert (on.exit_code, off.exit_code) == (0, 3)
    assert on.stdout == 'banner_text  on  "Welcome to the tea shop"  (environment)\n'
    assert off.stdout == "new_checkout  off  -  (environment)\n"


def test_get_names_the_nearest_to_an_unknown_feature(make_quiet: MakeCommandApp) -> None:
    app = make_quiet()
    typo, strange = run(app, "get", "new_chekout"), run(app, "get", "qqqqqqqq")
    assert (typo.exit_code, strange.exit_code) == (4, 4)
    assert "no feature 'new_chekout'. Did you mean 'new_checkout'?" in typo.stderr
    assert "'flask flagsmith list' shows all" in strange.stderr
    assert not typo.stdout


def test_get_of_an_unknown_feature_in_strict_mode(
    make_quiet: MakeCommandApp,
) -> None:
    assert run(make_quiet(STRICT=True), "get", "new_chekout").exit_code == 4


def test_get_as_json(make_quiet: MakeCommandApp) -> None:
    result = run(make_quiet(), "get", "new_checkout", "--json")
    assert json.loads(result.stdout)["enabled"] is False
    assert result.exit_code == 3


def test_get_for_an_identity(make_quiet: MakeCommandApp) -> None:
    arguments = "get", "beta_dashboard", "--identity", "ann", "--trait", "plan=pro"
    result = run(make_quiet(), *arguments)
    assert result.exit_code == 0
    assert result.stdout == "beta_dashboard  on  -  (segment pro_customers)\n"


# Traits


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("pro", "pro"),
        ("42", 42),
        ("-7", -7),
        ("2.5", 2.5),
        ("true", True),
        ("False", False),
        ('"42"', "42"),
        ("0815", "0815"),
        ("nan", "nan"),
        ("NaN", "NaN"),
        ("1e999", "1e999"),
        ("null", "null"),
        ("[1]", "[1]"),
        ("", ""),
        ("a=b", "a=b"),
    ],
)
def test_a_traits_type_is_read_from_its_text(text: str, value: object) -> None:
    read = trait_value(text)
    assert read == value
    assert type(read) is type(value)


def test_a_trait_without_a_name_or_an_identity_is_a_wrong_command_line(
    make_quiet: MakeCommandApp,
) -> None:
    app = make_quiet()
    lonely = run(app, "list", "--trait", "plan=pro")
    assert lonely.exit_code == 2
    assert "give --identity, too" in lonely.stderr
    nameless = run(app, "list", "--identity", "ann", "--trait", "pro")
    assert nameless.exit_code == 2
    assert "'pro' is not name=value, such as plan=pro" in nameless.stderr


def test_an_empty_identity_is_a_wrong_command_line(make_quiet: MakeCommandApp) -> None:
    result = run(make_quiet(), "list", "--identity", "")
    assert result.exit_code == 2
    assert "empty" in result.stderr


# watch


def test_watch_prints_changes_as_text(tmp_path: Path, emulator: Emulator) -> None:
    with Directory(tmp_path, emulator.config).start("flagsmith", "watch") as watch:
        assert watch.err.next() == "Watching 6 features. Ctrl-C ends it."
        assert watch.err.next() == "The stream is open: changes arrive at once."

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
        emulator.end_streams()
        assert emulator.wait_for_streams(1)
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
        with directory.start("flagsmith", "watch") as watch:
            assert watch.err.next().startswith("FLAGSMITH_REDIS_URL is set: watching listens to")
            assert watch.err.next() == "Watching 6 features. Ctrl-C ends it."
            assert watch.err.next() == "The stream is open: changes arrive at once."
            emulator.set_flag("new_checkout", enabled=True)
            assert watch.out.next().endswith("new_checkout  off → on")
            assert redis.keys() == {}
            assert redis.subscribers() == 0
            assert watch.interrupt() == 0
            assert watch.err.rest() == [""]
    finally:
        redis.client.close()
        redis.stop()


def test_watch_of_an_offline_file_is_an_error(tmp_path: Path, emulator: Emulator) -> None:
    file = tmp_path / "environment.json"
    file.write_text(json.dumps(emulator.document))
    app = Flask("shop")
    app.config["FLAGSMITH_OFFLINE_FILE"] = file
    FlagsmithRealtime(app)
    result = run(app, "watch")
    assert result.exit_code == 1
    assert "never change" in result.stderr


# emulator, and the group


def test_emulator_runs_without_an_app_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    (tmp_path / "app.py").unlink()
    with directory.start("flagsmith", "emulator", "--port", "0") as emulator:
        page = emulator.out.find(lambda line: line.strip().startswith("Page")).split()[-1]
        with urllib.request.urlopen(page) as answer:
            assert answer.status == 200
        assert emulator.interrupt() == 0


@pytest.mark.parametrize("command", ["list", "get", "watch", "doctor", "emulator"])
def test_help_has_an_example_and_fits(make_quiet: MakeCommandApp, command: str) -> None:
    result = run(make_quiet(), command, "--help")
    assert result.exit_code == 0
    assert f"flask flagsmith {command}" in result.output.partition("Example")[2]
    assert max(map(len, result.output.splitlines())) <= COLUMNS


def test_the_app_imports_no_command() -> None:
    source = """
import sys
import flask_flagsmith_realtime
package = "flask_flagsmith_realtime."
print([name for name in sys.modules if name.startswith((package + "cli.", package + "doctor"))])
"""
    process = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert process.stdout == "[]\n"


def test_the_commands_are_listed_on_lines_of_their_own(make_quiet: MakeCommandApp) -> None:
    lines = run(make_quiet(), "--help").stdout.splitlines()
    listed = lines[lines.index("Commands:") + 1 :]
    assert [line.split()[0] for line in listed] == ["doctor", "emulator", "get", "list", "watch"]
    assert not any("..." in line for line in listed)


def test_an_app_without_the_extension_is_an_error(tmp_path: Path) -> None:
    source = 'from flask import Flask\napp = Flask("shop")\n'
    result = Directory(tmp_path, source=source).flask("flagsmith", "list")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: The app 'shop' was not set up")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", [("list",), ("get", "new_checkout"), ("watch",)])
def test_a_missing_app_ends_with_status_1(tmp_path: Path, command: tuple[str, ...]) -> None:
    result = Directory(tmp_path).flask("--app", "nope", "flagsmith", *command)
    assert result.returncode == 1
    assert result.stderr == "Error: Could not import 'nope'.\n"


def test_characters_that_a_terminal_lacks_are_escaped(tmp_path: Path, emulator: Emulator) -> None:
    emulator.set_flag("banner_text", value="价 →")
    directory = Directory(tmp_path, emulator.config)
    directory.setenv("PYTHONIOENCODING", "iso-8859-1")
    result = directory.flask("flagsmith", "get", "banner_text")
    assert result.returncode == 0
    assert result.stdout.startswith('banner_text  on  "\\u4ef7 \\u2192"')


def test_colours_are_for_terminals_only(tmp_path: Path, emulator: Emulator) -> None:
    directory = Directory(tmp_path, emulator.config)
    assert "\x1b" not in directory.flask("flagsmith", "doctor").stdout
    assert "\x1b[32mok" in _on_a_terminal(directory, "flagsmith", "doctor")


def _on_a_terminal(directory: Directory, *arguments: str) -> str:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "flask", *arguments],
        cwd=directory.path,
        env=directory.environ,
        stdout=theirs,
    )
    os.close(theirs)
    printed = b""
    try:
        while part := os.read(ours, 4096):
            printed += part
    except OSError:
        # Linux raises at the end of a terminal.
        pass
    finally:
        os.close(ours)
        process.wait()
    return printed.decode()
