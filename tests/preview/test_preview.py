"""Previews: features that look different in one browser."""

from __future__ import annotations

import logging
import secrets
import time
from typing import Any

import pytest
from flask import Flask, Response, render_template_string, request
from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer

from flask_flagsmith_realtime import FlagsmithRealtime, Identity, flag_evaluated, flags
from flask_flagsmith_realtime.preview import settings
from flask_flagsmith_realtime.testing import override_flags

PAGE = "/flagsmith/preview/"
KEY = "a secret"
HTML = "<html><body>{{ flags.banner.value }}, {{ flags.checkout.enabled }}</body></html>"


def make_app(flagsmith: FlagsmithRealtime, **config: Any) -> Flask:
    app = Flask("shop")
    app.config.update(TESTING=True, SECRET_KEY=KEY, FLAGSMITH_DEFAULTS={}, **config)
    flagsmith.init_app(app)
    app.register_blueprint(flagsmith.preview)

    @app.get("/")
    def home() -> Response:
        response = app.make_response(render_template_string(HTML))
        response.cache_control.public = True
        response.cache_control.max_age = 60
        response.add_etag()
        return response.make_conditional(request)

    @app.get("/json")
    def as_json() -> dict[str, Any]:
        return {"banner": flags.get_feature_value("banner"), "count": flags["count"].value}

    @app.get("/static-page")
    def static_page() -> str:
        return "<body>no flags</body>"

    return app


@pytest.fixture
def flagsmith() -> FlagsmithRealtime:
    return FlagsmithRealtime()


@pytest.fixture
def app(flagsmith: FlagsmithRealtime) -> Any:
    """An app whose visitors with the header X-Staff may preview."""
    app = make_app(flagsmith)
    flagsmith.preview_allowed(lambda: request.headers.get("X-Staff") == "yes")
    with override_flags(app, banner="Hello", checkout=False, count=1):
        yield app


@pytest.fixture
def staff(app: Flask) -> FlaskClient:
    client = app.test_client()
    client.environ_base["HTTP_X_STAFF"] = "yes"
    return client


def test_a_url_sets_a_feature_in_this_browser_only(app: Flask, staff: FlaskClient) -> None:
    assert "Hello, True" in staff.get("/?flagsmith.checkout=on").text
    assert "Hello, True" in staff.get("/").text
    assert "Hi, True" in staff.get("/?flagsmith.banner=Hi").text
    assert staff.get("/json?flagsmith.count=7").json == {"banner": "Hi", "count": 7}
    assert "Hello, False" in app.test_client().get("/").text
    assert "Hi, False" in staff.get("/?flagsmith.checkout=").text


@pytest.mark.parametrize("path", ["/?flagsmith.checkout=on", "/"])
def test_others_may_not(app: Flask, path: str) -> None:
    visitor = app.test_client()
    visitor.set_cookie(settings.COOKIE, settings.sign({"checkout": True}, KEY))
    response = visitor.get(path)
    assert "Hello, False" in response.text
    assert "Set-Cookie" not in response.headers
    assert visitor.get(PAGE).status_code == 404
    assert visitor.post(PAGE, data={"clear": "1"}).status_code == 404


def test_responses_are_never_shared_or_kept(staff: FlaskClient) -> None:
    plain = staff.get("/")
    etag = plain.headers["ETag"]
    assert plain.headers["Vary"] == "Cookie"
    assert "public" in plain.headers["Cache-Control"]
    assert "Vary" not in staff.get("/static-page").headers
    for path in ("/?flagsmith.banner=Hi", "/"):
        response = staff.get(path, headers={"If-None-Match": etag})
        assert response.status_code == 200
        assert response.headers["Vary"] == "Cookie"
        assert response.headers["Cache-Control"] == "private, no-store"
        assert "ETag" not in response.headers


def test_pages_have_a_badge(app: Flask, staff: FlaskClient) -> None:
    text = staff.get("/?flagsmith.checkout=on").text
    assert "Preview: checkout" in text
    assert f'href="{PAGE}"' in text
    assert text.endswith("</div></body></html>")
    assert staff.get("/json").json == {"banner": "Hello", "count": 1}
    assert "Preview:" not in app.test_client().get("/").text


def test_badge_can_be_turned_off(flagsmith: FlagsmithRealtime) -> None:
    app = make_app(flagsmith, FLAGSMITH_PREVIEW_BADGE=False)
    flagsmith.preview_allowed(lambda: True)
    with override_flags(app, banner="Hello", checkout=False):
        assert (
            app.test_client().get("/?flagsmith.banner=Hi").text.endswith("Hi, False</body></html>")
        )


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "nonsense",
        "x" * 10_000,
        settings.sign({"checkout": True}, "another key"),
        settings.sign({"checkout": True}, KEY)[:-1] + "x",
        URLSafeTimedSerializer(KEY, salt=settings._SALT).dumps(["checkout"]),
    ],
    ids=["empty", "nonsense", "long", "another key", "damaged", "a list"],
)
def test_hostile_cookies_are_ignored(staff: FlaskClient, cookie: str) -> None:
    headers = {"Cookie": f"{settings.COOKIE}={cookie}"}
    assert "Hello, False" in staff.get("/", headers=headers).text


def test_old_cookies_are_ignored(staff: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 8 * 24 * 3600)
    cookie = settings.sign({"checkout": True}, KEY)
    monkeypatch.undo()
    staff.set_cookie(settings.COOKIE, cookie)
    assert "Hello, False" in staff.get("/").text


def test_unknown_features_are_left_alone(staff: FlaskClient) -> None:
    assert staff.get("/json?flagsmith.invented=on").json == {"banner": "Hello", "count": 1}


def test_too_many_settings_are_refused(staff: FlaskClient) -> None:
    value = secrets.token_hex(4000)
    response = staff.get(f"/?flagsmith.checkout=on&flagsmith.banner={value}")
    assert "Hello, False" in response.text
    assert "Set-Cookie" not in response.headers
    response = staff.post(PAGE, data={"feature": "banner", "value": value})
    assert response.status_code == 400
    assert "clear some" in response.text


def test_the_page_lists_sets_and_clears(staff: FlaskClient) -> None:
    page = staff.get(PAGE)
    assert page.headers["Vary"] == "Cookie"
    assert [name in page.text for name in ("banner", "checkout", "count")] == [True] * 3
    response = staff.post(PAGE, data={"feature": "checkout", "switch": "on", "value": ""})
    assert (response.status_code, response.headers["Location"]) == (303, PAGE)
    assert "HttpOnly" in response.headers["Set-Cookie"]
    assert "SameSite=Lax" in response.headers["Set-Cookie"]
    staff.post(PAGE, data={"feature": "banner", "value": "<b>Hi</b>"})
    assert "&lt;b&gt;Hi" in staff.get(PAGE).text
    assert "&lt;b&gt;Hi&lt;/b&gt;, True" in staff.get("/").text
    staff.post(PAGE, data={"feature": "banner", "value": ""})
    assert "Hello, True" in staff.get("/").text
    staff.post(PAGE, data={"clear": "1"})
    assert "Hello, False" in staff.get("/").text


def test_looking_at_the_page_is_no_read(app: Flask, staff: FlaskClient) -> None:
    read: list[str] = []

    @flag_evaluated.connect_via(app)
    def listen(app: Flask, flag: Any, **_: Any) -> None:
        read.append(flag.feature_name)

    assert "checkout" in staff.get(PAGE).text
    assert read == []


def test_the_page_itself_has_no_badge(staff: FlaskClient) -> None:
    staff.get("/?flagsmith.checkout=on")
    assert "Preview: checkout" not in staff.get(PAGE).text


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example"}]
)
def test_other_sites_cannot_send_the_form(staff: FlaskClient, headers: dict[str, str]) -> None:
    data = {"feature": "checkout", "switch": "on"}
    assert staff.post(PAGE, data=data, headers=headers).status_code == 403


def test_without_a_function_debug_mode_decides(flagsmith: FlagsmithRealtime) -> None:
    app = make_app(flagsmith)
    with override_flags(app, banner="Hello", checkout=False):
        for debug in (False, True):
            app.debug = debug
            assert f"Hello, {debug}" in app.test_client().get("/?flagsmith.checkout=on").text


def test_without_a_secret_key_nothing_is_previewed(flagsmith: FlagsmithRealtime) -> None:
    app = make_app(flagsmith)
    app.secret_key = None
    flagsmith.preview_allowed(lambda: True)
    with override_flags(app, banner="Hello", checkout=False):
        assert "Hello, False" in app.test_client().get("/?flagsmith.checkout=on").text


def test_function_is_called_only_if_there_is_a_setting_and_may_read_flags(
    app: Flask, flagsmith: FlagsmithRealtime, staff: FlaskClient
) -> None:
    calls: list[bool] = []

    @flagsmith.preview_allowed
    async def is_allowed() -> bool:
        calls.append(bool(flags.checkout))
        return True

    staff.get("/")
    assert calls == []
    assert "Hello, True" in staff.get("/?flagsmith.checkout=on").text
    assert calls == [False]


def test_function_that_raises_is_logged(
    flagsmith: FlagsmithRealtime, staff: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    @flagsmith.preview_allowed
    def breaks() -> bool:
        raise RuntimeError("broken check")

    with caplog.at_level(logging.ERROR):
        assert "Hello, False" in staff.get("/?flagsmith.checkout=on").text
    assert "breaks, which says who may preview, failed" in caplog.text


def test_identities_and_records_see_the_preview(
    app: Flask, flagsmith: FlagsmithRealtime, staff: FlaskClient
) -> None:
    flagsmith.identity_loader(lambda: Identity("ada"))
    reasons: list[Any] = []

    @flag_evaluated.connect_via(app)
    def listen(app: Flask, flag: Any, identity: Identity, **_: Any) -> None:
        reasons.append((flag.feature_name, flag.reason, identity.identifier))

    @app.get("/two")
    def two() -> list[bool]:
        return [bool(flags.checkout), bool(flags.for_identity("bob").checkout)]

    assert staff.get("/two?flagsmith.checkout=on").json == [True, True]
    assert reasons == [("checkout", "PREVIEW", "ada"), ("checkout", "PREVIEW", "bob")]
