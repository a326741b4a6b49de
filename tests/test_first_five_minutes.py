"""The mistakes of the first five minutes: each error names its cause and the way out."""

from __future__ import annotations

import re
import shlex
import socket
import textwrap
import urllib.request
from pathlib import Path

import pytest

from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.emulator.command import introduction
from tests.support.command_line import APP, Directory
from tests.support.misbehaving import MisbehavingFlagsmith, answers
from tests.support.paths import ROOT
from tests.support.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.slow

#: Added to an app: a read of a flag.
READ = """
with app.app_context():
    flags.is_feature_enabled({name!r})
"""

#: An app that waits until a failed fetch is in the log: before the next one fails.
FAILING = f"""\
import threading
from flask_flagsmith_realtime import logs, refresh_failed

failures = threading.Semaphore(0)
refresh_failed.connect(lambda *_, **__: failures.release(), weak=False)
{APP}
for _ in range(2):
    failures.acquire(timeout={PATIENCE_SECONDS})
logs.flush({PATIENCE_SECONDS})
"""


#: Settings of an app that makes no call by itself.
ASLEEP = {"FLAGSMITH_ENVIRONMENT_KEY": "ser.key", "FLAGSMITH_AUTOSTART": "false"}


def last_line(directory: Directory) -> str:
    """Load the app, and return the last line of its traceback."""
    result = directory.python("-c", "import app")
    assert result.returncode == 1
    return result.stderr.splitlines()[-1]


def log_of(directory: Directory) -> str:
    """Load the app, and return its log, as it is without any configuration of logging."""
    result = directory.python("-c", "import app")
    assert result.returncode == 0, result.stderr
    return result.stderr


# The first steps


def test_the_emulators_introduction_leads_to_an_app_that_follows(
    tmp_path: Path, emulator: Emulator
) -> None:
    directory = Directory(tmp_path)
    for line in introduction(emulator, None).splitlines():
        if line.strip().startswith("export "):
            name, _, content = shlex.split(line)[1].partition("=")
            directory.setenv(name, content)
    with directory.start("run", "--port", "0") as app:
        url = app.err.find(lambda line: "Running on" in line).split()[-1]

        def answer() -> str:
            with urllib.request.urlopen(url) as response:
                return str(response.read().decode())

        assert answer() == "False"
        emulator.set_flag("new_checkout", enabled=True)
        eventually(lambda: answer() == "True")


def test_the_quickstarts_app_is_tested_as_the_documentation_says(tmp_path: Path) -> None:
    directory = Directory(tmp_path, source=captioned("quickstart", "app.py"))
    for name in ("conftest.py", "test_app.py"):
        tmp_path.joinpath(name).write_text(captioned("testing", name))
    result = directory.python("-m", "pytest")
    assert "2 passed" in result.stdout, result.stdout


def captioned(page: str, caption: str) -> str:
    """Return the code with a caption in a page of the documentation."""
    text = ROOT.joinpath("docs", f"{page}.rst").read_text()
    code = re.search(rf"^ {{3}}:caption: {caption}\n\n((?: {{4}}.*\n|\n)+)", text, re.MULTILINE)
    assert code is not None
    return textwrap.dedent(code[1])


# Missing and wrong keys


def test_no_key(tmp_path: Path) -> None:
    line = last_line(Directory(tmp_path))
    assert "ConfigError: FLAGSMITH_ENVIRONMENT_KEY is missing." in line
    assert "'SDK keys' in the environment's settings on Flagsmith" in line
    assert "FLASK_FLAGSMITH_ENVIRONMENT_KEY with app.config.from_prefixed_env()" in line
    assert "python -m flask_flagsmith_realtime.emulator" in line


def test_a_key_in_a_variable_that_flask_does_not_read(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    directory.setenv("FLAGSMITH_ENVIRONMENT_KEY", "ser.key")
    line = last_line(directory)
    assert "there is an environment variable of that name" in line
    assert "Flask reads FLASK_FLAGSMITH_ENVIRONMENT_KEY" in line
    assert "ser.key" not in line


def test_a_key_in_a_variable_that_the_app_does_not_read(tmp_path: Path) -> None:
    source = APP.replace("app.config.from_prefixed_env()\n", "")
    directory = Directory(tmp_path, ASLEEP, source)
    line = last_line(directory)
    assert "although the environment variable FLASK_FLAGSMITH_ENVIRONMENT_KEY is set" in line
    assert "call app.config.from_prefixed_env() before" in line


def test_a_key_in_a_variable_with_a_typo(tmp_path: Path) -> None:
    line = last_line(Directory(tmp_path, {"FLAGSMITH_ENVIROMENT_KEY": "ser.key"}))
    assert "There is FLAGSMITH_ENVIROMENT_KEY: is that a typo?" in line
    assert "ser.key" not in line


@pytest.mark.parametrize("key", ["", "ser.key ", "'ser.key'", "ser.ключ"])
def test_a_key_with_invalid_characters(tmp_path: Path, key: str) -> None:
    line = last_line(Directory(tmp_path, {"FLAGSMITH_ENVIRONMENT_KEY": key}))
    assert "ConfigError: FLAGSMITH_ENVIRONMENT_KEY is not a valid key" in line
    assert "copy it again from 'SDK keys'" in line
    assert "ser." not in line


def test_a_key_that_reads_like_a_number(tmp_path: Path) -> None:
    line = last_line(Directory(tmp_path, {"FLAGSMITH_ENVIRONMENT_KEY": "12345"}))
    assert "FLAGSMITH_ENVIRONMENT_KEY must be text, not int; write it like" in line
    assert line.endswith("""FLASK_FLAGSMITH_ENVIRONMENT_KEY='"1234"'""")
    assert "12345" not in line


@pytest.mark.parametrize("name", ["WEBHOOK_SECRET", "REDIS_URL"])
def test_a_text_that_reads_like_a_number(tmp_path: Path, name: str) -> None:
    settings = {"FLAGSMITH_ENVIRONMENT_KEY": "ser.key", f"FLAGSMITH_{name}": "31337"}
    line = last_line(Directory(tmp_path, settings))
    assert f"FLAGSMITH_{name} must be text, not int; write it like" in line
    assert line.endswith(f"""FLASK_FLAGSMITH_{name}='"1234"'""")
    assert "31337" not in line


def test_a_text_within_two_kinds_of_quotes(tmp_path: Path) -> None:
    settings = {"FLAGSMITH_ENVIRONMENT_KEY": "ser.key", "FLAGSMITH_WEBHOOK_SECRET": '"31337"'}
    log_of(Directory(tmp_path, settings))


def test_a_client_side_key_where_a_server_side_one_was_meant(
    tmp_path: Path, emulator: Emulator
) -> None:
    source = "import logging\nlogging.basicConfig(level=logging.INFO)\n" + APP
    settings = {**emulator.config, "FLAGSMITH_ENVIRONMENT_KEY": emulator.client_side_key}
    log = log_of(Directory(tmp_path, settings, source + READ.format(name="new_checkout")))
    assert log.count("FLAGSMITH_ENVIRONMENT_KEY is a client-side key") == 1
    assert "A server-side key (ser.…) has flags evaluated in this process" in log
    assert emulator.client_side_key not in log
    assert "WARNING" not in log


def test_a_key_of_another_flagsmith_or_a_deleted_one(tmp_path: Path, emulator: Emulator) -> None:
    settings = {**emulator.config, "FLAGSMITH_ENVIRONMENT_KEY": "ser.of-something-else"}
    log = log_of(Directory(tmp_path, settings, FAILING))
    assert log.count("Flagsmith refused the server-side key (ser.…, 21 characters)") == 1
    assert "is a key of an environment of that Flagsmith" in log
    assert "of-something-else" not in log


def test_a_warning_names_the_environment_of_the_key(tmp_path: Path, emulator: Emulator) -> None:
    log = log_of(Directory(tmp_path, emulator.config, APP + READ.format(name="search_v2")))
    assert "The environment has no feature 'search_v2'; create it, or give a default" in log
    assert "It is the environment 'Development' in 'Tea shop'." in log


# Wrong URLs


@pytest.mark.parametrize("url", ["localhost:8000/api/v1/", "localhost", "127.0.0.1:8000"])
def test_localhost_without_a_scheme(tmp_path: Path, url: str) -> None:
    settings = {"FLAGSMITH_ENVIRONMENT_KEY": "ser.key", "FLAGSMITH_API_URL": url}
    line = last_line(Directory(tmp_path, settings))
    assert f"https:// or http://, not '{url}'" in line
    assert "did you mean http://" in line
    assert line.endswith("/api/v1/ ?")


def read_at(directory: Path, emulator: Emulator, url: str) -> str:
    settings = {**emulator.config, "FLAGSMITH_API_URL": url}
    return log_of(Directory(directory, settings, FAILING))


def test_a_url_without_its_path(tmp_path: Path, emulator: Emulator) -> None:
    log = read_at(tmp_path, emulator, emulator.url)
    assert f"There is no Flagsmith API at {emulator.url}environment-document/ (404)" in log
    assert f"usually ends in /api/v1/: did you mean {emulator.api_url} ?" in log


def test_a_url_of_flagsmiths_pages(
    tmp_path: Path, emulator: Emulator, flagsmith: MisbehavingFlagsmith
) -> None:
    flagsmith.environment_document.always(answers.html(200))
    log = read_at(tmp_path, emulator, flagsmith.api_url)
    assert "is not usable: it is not JSON" in log
    assert "Check that FLAGSMITH_API_URL is Flagsmith's API." in log


def test_a_flagsmith_that_is_not_running(tmp_path: Path, emulator: Emulator) -> None:
    log = read_at(tmp_path, emulator, "http://127.0.0.1:9/api/v1/")
    assert log.count("could not be asked at http://127.0.0.1:9/api/v1/environment-document/") == 1
    assert "connection refused. Check FLAGSMITH_API_URL, and that Flagsmith is running there" in log
    assert "defaults serve" in log


def test_a_flagsmith_without_a_stream(tmp_path: Path, flagsmith: MisbehavingFlagsmith) -> None:
    flagsmith.stream.always(answers.status(404))
    directory = Directory(tmp_path, flagsmith.config)
    with directory.start("run", "--port", "0") as app:
        line = app.err.find(lambda line: "stream" in line)
    assert "was refused: it answers 404 Not Found" in line
    assert "a plan that includes them and 'Enable real-time updates'" in line
    assert "flags are fetched every 60 s" in line


# The extension and its names


def test_the_extension_created_twice(tmp_path: Path) -> None:
    source = APP + "FlagsmithRealtime().init_app(app)\n"
    line = last_line(Directory(tmp_path, ASLEEP, source))
    assert "The app 'app' has been set up by FlagsmithRealtime before" in line
    assert "pass the app to it or to its init_app, not to both" in line


def test_flags_outside_an_app_context(tmp_path: Path) -> None:
    source = APP + 'flags.is_feature_enabled("new_checkout")\n'
    line = last_line(Directory(tmp_path, ASLEEP, source))
    assert "NotInitializedError: flags were read outside an app context" in line
    assert "'with app.app_context():'" in line


def test_flags_before_init_app(tmp_path: Path) -> None:
    source = APP.replace("FlagsmithRealtime(app)\n", "FlagsmithRealtime()\n")
    line = last_line(Directory(tmp_path, source=source + READ.format(name="new_checkout")))
    assert "NotInitializedError: The app 'app' has no flags" in line
    assert "call FlagsmithRealtime(app), or flagsmith.init_app(app)" in line


def test_a_features_name_with_a_typo(tmp_path: Path, emulator: Emulator) -> None:
    log = log_of(Directory(tmp_path, emulator.config, APP + 2 * READ.format(name="new_chekout")))
    assert log.count("no feature 'new_chekout'; did you mean 'new_checkout'?") == 1
    assert "The feature reads as disabled" in log


def test_a_methods_name_with_a_typo(tmp_path: Path, emulator: Emulator) -> None:
    source = APP + 'with app.app_context():\n    flags.is_enabled("new_checkout")\n'
    result = Directory(tmp_path, emulator.config, source).python("-c", "import app")
    assert "no feature 'is_enabled'; did you mean flags.is_feature_enabled(…)?" in result.stderr


def test_a_settings_name_with_a_typo(tmp_path: Path) -> None:
    settings = {**ASLEEP, "FLAGSMITH_DEFAULT": "{}"}
    log = log_of(Directory(tmp_path, settings))
    assert "FLAGSMITH_DEFAULT is not a setting of flask-flagsmith-realtime" in log
    assert "did you mean FLAGSMITH_DEFAULTS?" in log


def test_a_boolean_that_is_not_one_is_shown_as_an_environment_variable(tmp_path: Path) -> None:
    settings = {"FLAGSMITH_ENVIRONMENT_KEY": "ser.key", "FLAGSMITH_STRICT": "maybe"}
    line = last_line(Directory(tmp_path, settings))
    assert "FLAGSMITH_STRICT must be a bool, not str" in line
    assert line.endswith("write it like FLASK_FLAGSMITH_STRICT=true")


def test_a_boolean_that_is_not_one_is_shown_as_an_assignment(tmp_path: Path) -> None:
    source = APP.replace(
        "FlagsmithRealtime(app)",
        """\
app.config["FLAGSMITH_STRICT"] = "maybe"
FlagsmithRealtime(app)""",
    )
    line = last_line(Directory(tmp_path, ASLEEP, source))
    assert line.endswith('write it like app.config["FLAGSMITH_STRICT"] = True')


def test_the_stream_is_turned_off_by_an_environment_variable(tmp_path: Path) -> None:
    settings = {**ASLEEP, "FLAGSMITH_ENABLE_REALTIME_UPDATES": "False"}
    log_of(Directory(tmp_path, settings))


# The commands


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        result = Directory(tmp_path).flask("flagsmith", "emulator", "--port", port)
    assert result.returncode == 1
    assert f"cannot listen on port {port}: address already in use" in result.stderr.lower()
    assert "0 takes any that is free" in result.stderr


@pytest.mark.parametrize("command", [("list",), ("get", "new_checkout"), ("watch",)])
def test_commands_of_an_app_without_a_key_show_no_traceback(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    result = Directory(tmp_path).flask("flagsmith", *command)
    assert result.returncode == 1
    assert result.stderr.startswith("Error: FLAGSMITH_ENVIRONMENT_KEY is missing.")
