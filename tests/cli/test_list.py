"""``flask flagsmith list``."""

from __future__ import annotations

import json
import re

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.commands import COLUMNS, MakeCommandApp, run


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
