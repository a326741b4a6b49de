"""Flags in templates."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask, render_template, render_template_string

from flask_flagsmith_realtime import flags
from flask_flagsmith_realtime.emulator import Emulator
from tests.support.apps import MakeApp


@pytest.fixture
def app(make_app: MakeApp, emulator: Emulator) -> Flask:
    emulator.set_flag("new_checkout", enabled=True)
    emulator.set_flag("banner_text", enabled=True, value="Half price & more")
    emulator.set_flag("my-flag", enabled=False, value="dashed")
    return make_app()


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{% if flags.new_checkout %}new{% else %}old{% endif %}", "new"),
        ("{% if flags['my-flag'] %}on{% else %}off{% endif %}", "off"),
        ("{{ flags.banner_text.value }}", "Half price &amp; more"),
        ('{{ flags["my-flag"].value }}', "dashed"),
        ("{{ flags.is_feature_enabled('new_checkout') }}", "True"),
        ("{{ flags.get_feature_value('nothing_like_it', default='Hi') }}", "Hi"),
        ("{% if flags.nothing_like_it %}on{% else %}off{% endif %}", "off"),
        ("{{ 'new_checkout' in flags }}", "True"),
    ],
)
def test_expressions(app: Flask, template: str, expected: str) -> None:
    with app.test_request_context():
        assert render_template_string(template) == expected


def test_macros_imported_with_context(app: Flask, tmp_path: Path) -> None:
    (tmp_path / "macros.html").write_text(
        "{% macro banner() %}{{ flags.banner_text.value }}{% endmacro %}"
    )
    (tmp_path / "page.html").write_text(
        '{% from "macros.html" import banner with context %}{{ banner() }}'
    )
    app.template_folder = str(tmp_path)
    with app.test_request_context():
        assert render_template("page.html") == "Half price &amp; more"


def test_template_rendered_in_an_app_context(app: Flask) -> None:
    with app.app_context():
        assert flags.new_checkout
        assert render_template_string("{{ flags.new_checkout.enabled }}") == "True"
