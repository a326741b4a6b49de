"""The identity loader with the real Flask-Login."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask, render_template_string
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user

from flask_flagsmith_realtime import FlagsmithRealtime, Identity, flag_required, flags
from tests.support import recorded


@dataclass
class User(UserMixin):
    id: int
    plan: str


USERS = {1: User(1, "pro"), 2: User(2, "free")}


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    path = tmp_path / "environment.json"
    path.write_text(json.dumps(recorded.environment_document()))
    app = Flask("shop")
    app.secret_key = "test"
    app.config["FLAGSMITH_OFFLINE_FILE"] = path
    login = LoginManager(app)
    flagsmith = FlagsmithRealtime(app)

    @login.user_loader
    def load_user(user_id: str) -> User | None:
        # A user loader may read flags, and may be the first to do so.
        assert flags["max_items"].value == 25
        return USERS.get(int(user_id))

    @flagsmith.identity_loader
    def who_is_asking() -> Identity | None:
        if not current_user.is_authenticated:
            return None
        return Identity(str(current_user.id), {"plan": current_user.plan})

    @app.get("/login/<int:user_id>")
    def log_in(user_id: int) -> str:
        login_user(USERS[user_id])
        return str(flags["beta_dashboard"].enabled)

    @app.get("/logout")
    def log_out() -> str:
        logout_user()
        return ""

    @app.get("/")
    def home() -> str:
        return render_template_string("{% if flags.beta_dashboard %}beta{% else %}plain{% endif %}")

    @app.get("/beta")
    @flag_required("beta_dashboard")
    def beta() -> str:
        return f"Hello {current_user.id}, you are in {', '.join(flags.segments)}"

    return app


def test_flags_are_those_of_the_user_who_is_logged_in(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    pro, free, anonymous = (app.test_client() for _ in range(3))
    assert pro.get("/login/1").text == "True"
    assert free.get("/login/2").text == "False"
    assert [client.get("/").text for client in (pro, free, anonymous)] == ["beta", "plain", "plain"]
    assert pro.get("/beta").text.startswith("Hello 1, you are in beta_users")
    assert [client.get("/beta").status_code for client in (free, anonymous)] == [404, 404]
    pro.get("/logout")
    assert pro.get("/").text == "plain"
    assert caplog.records == []
