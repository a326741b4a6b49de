"""``flask flagsmith get``, and the options that ``list`` shares with it."""

from __future__ import annotations

import json

import pytest

from flask_flagsmith_realtime.cli.commands import trait_value
from tests.support.commands import MakeCommandApp, run


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
    assert run(make_quiet(), "list", "--identity", "").exit_code == 2
