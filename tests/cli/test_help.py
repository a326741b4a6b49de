"""The help of the commands."""

from __future__ import annotations

import pytest

from tests.support.commands import COLUMNS, MakeCommandApp, run

COMMANDS = ["browser-state", "doctor", "emulator", "get", "list", "watch"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_and_fits(make_quiet: MakeCommandApp, command: str) -> None:
    result = run(make_quiet(), command, "--help")
    assert result.exit_code == 0
    assert f"flask flagsmith {command}" in result.output.partition("Example")[2]
    assert max(map(len, result.output.splitlines())) <= COLUMNS


def test_the_commands_are_listed_on_lines_of_their_own(make_quiet: MakeCommandApp) -> None:
    lines = run(make_quiet(), "--help").stdout.splitlines()
    listed = lines[lines.index("Commands:") + 1 :]
    assert [line.split()[0] for line in listed] == COMMANDS
    assert not any("..." in line for line in listed)
