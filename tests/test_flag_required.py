"""``flag_required``: the requests that reach the view, and the answers to all others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask, request
from flask.views import MethodView, View

from flask_flagsmith_realtime import (
    FeatureNotFoundError,
    FlagsmithRealtime,
    Identity,
    flag_required,
    flags,
)
from flask_flagsmith_realtime.testing import override_flags
from tests.support import recorded
from tests.support.logs import events


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    path = tmp_path / "environment.json"
    path.write_text(json.dumps(recorded.environment_document()))
    app = Flask("shop")
    app.config["FLAGSMITH_OFFLINE_FILE"] = path
    flagsmith = FlagsmithRealtime(app)

    @flagsmith.identity_loader
    def load() -> Identity | None:
        plan = request.args.get("plan")
        return None if plan is None else Identity("dan", {"plan": plan})

    return app


def get(app: Flask, path: str = "/") -> tuple[int, str]:
    response = app.test_client().get(path)
    return response.status_code, response.text if response.status_code == 200 else ""


def answer(text: str = "answer") -> str:
    return text


async def async_answer(text: str = "async answer") -> str:
    return text


VIEWS = {"plain": answer, "async": async_answer}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
class TestViews:
    def test_the_view_answers_while_the_feature_is_on(
        self, app: Flask, view: Callable[..., Any]
    ) -> None:
        app.get("/")(flag_required("new_checkout")(view))
        assert get(app) == (200, view.__name__.replace("_", " "))

    def test_404_while_the_feature_is_off(self, app: Flask, view: Callable[..., Any]) -> None:
        app.get("/")(flag_required("beta_dashboard")(view))
        assert get(app) == (404, "")
        assert get(app, "/?plan=free") == (404, "")
        assert get(app, "/?plan=pro")[0] == 200

    def test_another_status(self, app: Flask, view: Callable[..., Any]) -> None:
        app.get("/")(flag_required("beta_dashboard", status=403)(view))
        assert get(app) == (403, "")

    @pytest.mark.parametrize("otherwise", VIEWS.values(), ids=VIEWS)
    def test_another_view(
        self, app: Flask, view: Callable[..., Any], otherwise: Callable[..., Any]
    ) -> None:
        app.get("/<text>")(flag_required("beta_dashboard", otherwise=otherwise)(view))
        assert get(app, "/given") == (200, "given")
        assert get(app, "/given?plan=pro") == (200, "given")

    def test_the_view_gets_its_arguments(self, app: Flask, view: Callable[..., Any]) -> None:
        app.get("/<text>")(flag_required("new_checkout")(view))
        assert get(app, "/given") == (200, "given")

    def test_the_view_keeps_its_name_and_docstring(
        self, app: Flask, view: Callable[..., Any]
    ) -> None:
        view.__doc__ = "What it does."
        guarded = flag_required("new_checkout")(view)
        assert guarded.__name__ == view.__name__
        assert guarded.__doc__ == "What it does."
        assert guarded.__wrapped__ is view  # type: ignore[attr-defined]


def test_a_change_of_the_flag_is_visible_in_the_next_request(app: Flask) -> None:
    app.get("/")(flag_required("beta_dashboard")(answer))
    assert get(app)[0] == 404
    with override_flags(app, beta_dashboard=True):
        assert get(app)[0] == 200
    assert get(app)[0] == 404


@pytest.mark.parametrize(
    ("feature", "value", "status"),
    [
        ("banner_text", "Welcome!", 200),
        ("banner_text", "Something else", 404),
        ("banner_text", None, 404),
        ("max_items", 25, 200),
        ("max_items", 25.0, 200),
        ("max_items", "25", 404),
        ("new_checkout", None, 200),
        ("beta_dashboard", None, 404),
    ],
)
def test_value(app: Flask, feature: str, value: Any, status: int) -> None:
    app.get("/")(flag_required(feature, value=value)(answer))
    assert get(app)[0] == status


def test_true_is_not_one(app: Flask) -> None:
    app.get("/")(flag_required("max_items", value=True)(answer))
    with override_flags(app, max_items=1):
        assert get(app)[0] == 404


def test_a_feature_that_does_not_exist(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    app.get("/")(flag_required("new_checkuot")(answer))
    assert get(app) == (404, "")
    assert events(caplog) == ["feature_missing"]


def test_a_feature_that_does_not_exist_in_strict_mode(tmp_path: Path) -> None:
    app = Flask("shop")
    app.testing = True
    app.config["FLAGSMITH_STRICT"] = True
    FlagsmithRealtime(app)
    app.get("/")(flag_required("new_checkuot")(answer))
    with pytest.raises(FeatureNotFoundError):
        get(app)


class TestEndpoints:
    def test_of_the_app(self, app: Flask) -> None:
        app.get("/old", endpoint="old")(lambda: "old")
        app.get("/")(flag_required("beta_dashboard", otherwise="old")(answer))
        assert get(app) == (200, "old")
        assert get(app, "/?plan=pro") == (200, "answer")

    def test_on_blueprints(self, app: Flask) -> None:
        shop, inner = Blueprint("shop", "shop"), Blueprint("inner", "inner")

        @inner.get("/new")
        @flag_required("beta_dashboard", otherwise=".old")
        def new() -> str:
            return "new"

        @inner.get("/old")
        def old() -> str:
            return "inner old"

        @shop.get("/old")
        def shop_old() -> str:
            return "shop old"

        @shop.get("/new")
        @flag_required("beta_dashboard", otherwise="shop.shop_old")
        def shop_new() -> str:
            return "shop new"

        shop.register_blueprint(inner, url_prefix="/inner")
        app.register_blueprint(shop)
        app.register_blueprint(shop, name="again", url_prefix="/again")
        assert get(app, "/inner/new") == (200, "inner old")
        assert get(app, "/inner/new?plan=pro") == (200, "new")
        assert get(app, "/again/inner/new") == (200, "inner old")
        assert get(app, "/new") == (200, "shop old")
        assert get(app, "/again/new?plan=pro") == (200, "shop new")

    def test_with_a_dot_outside_of_blueprints(self, app: Flask) -> None:
        app.get("/old", endpoint="old")(lambda: "old")
        app.get("/")(flag_required("beta_dashboard", otherwise=".old")(answer))
        assert get(app) == (200, "old")

    def test_that_does_not_exist(self, app: Flask) -> None:
        app.testing = True
        app.get("/")(flag_required("beta_dashboard", otherwise=".old")(answer))
        with pytest.raises(
            LookupError, match=r"otherwise='.old', but the app has no endpoint 'old'"
        ):
            get(app)


class TestClassBasedViews:
    def test_in_the_decorators(self, app: Flask) -> None:
        class Dashboard(View):
            decorators = [flag_required("beta_dashboard")]  # noqa: RUF012

            def dispatch_request(self) -> str:
                return str(flags["beta_dashboard"].enabled)

        app.add_url_rule("/", view_func=Dashboard.as_view("dashboard"))
        assert get(app)[0] == 404
        assert get(app, "/?plan=pro") == (200, "True")

    def test_on_a_method(self, app: Flask) -> None:
        class Dashboard(MethodView):
            def get(self, text: str) -> str:
                return "all"

            @flag_required("beta_dashboard", status=403)
            async def post(self, text: str) -> str:
                return text

        app.add_url_rule("/<text>", view_func=Dashboard.as_view("dashboard"))
        client = app.test_client()
        assert client.get("/text").text == "all"
        assert client.post("/text").status_code == 403
        assert client.post("/text?plan=pro").text == "text"

    def test_on_a_class(self) -> None:
        with pytest.raises(TypeError, match=r"decorators = \[flag_required\('beta_dashboard'\)\]"):

            @flag_required("beta_dashboard")
            class Dashboard(View):
                pass


class TestUse:
    def test_a_missing_name_is_an_error(self) -> None:
        with pytest.raises(TypeError, match=r"takes the name of a feature"):
            flag_required(answer)  # type: ignore[arg-type]

    @pytest.mark.parametrize("status", [200, 302, 999, "404", True, None])
    def test_a_status_that_is_not_an_error_is_refused(self, status: Any) -> None:
        with pytest.raises(ValueError, match=r"status must be an HTTP error \(400, 401"):
            flag_required("beta_dashboard", status=status)

    def test_otherwise_without_an_answer_is_refused(self) -> None:
        with pytest.raises(TypeError, match="otherwise must be a view function"):
            flag_required("beta_dashboard", otherwise=404)  # type: ignore[arg-type]
