"""Flags and changes in Sentry's events, with a transport that keeps what would be sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from tests.support.without_eventlet import sentry_sdk  # isort: split

from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.flask import FlaskIntegration
from sentry_sdk.transport import Transport

from flask_flagsmith_realtime import FlagsmithRealtime, Identity, NotInitializedError, flags
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.integrations import sentry
from tests.support.apps import MakeApp
from tests.support.waiting import eventually


class KeptTransport(Transport):
    """Keeps the events."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.events: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        event = envelope.get_event()
        if event is not None:
            self.events.append(dict(event))


@pytest.fixture
def transport() -> Iterator[KeptTransport]:
    kept = KeptTransport()
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",
        transport=kept,
        integrations=[FlaskIntegration()],
        auto_enabling_integrations=False,
        default_integrations=False,
    )
    yield kept
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


def test_an_error_has_the_flags_that_were_read_and_the_changes_before(
    make_app: MakeApp, emulator: Emulator, transport: KeptTransport
) -> None:
    app = make_app()
    sentry.init_app(app)
    sentry.init_app(app)
    changes = app.extensions[sentry._EXTENSION]

    @app.get("/")
    def broken() -> str:
        flags.is_feature_enabled("banner_text")
        flags.for_identity(Identity("ada")).is_feature_enabled("new_checkout")
        sentry_sdk.add_breadcrumb(message="before it broke")
        raise RuntimeError("broken view")

    with app.app_context():
        assert flags.epoch
    assert emulator.wait_for_streams(1)
    emulator.set_flag("new_checkout", enabled=True)
    emulator.set_flag("banner_text", value="a secret value")
    # Another receiver of the signal may get it before.
    eventually(lambda: any("banner_text" in one["data"] for one in list(changes.breadcrumbs)))
    assert app.test_client().get("/").status_code == 500
    [event] = transport.events
    assert event["contexts"]["flags"]["values"] == [
        {"flag": "banner_text", "result": True},
        {"flag": "new_checkout", "result": True},
    ]
    breadcrumbs = event["breadcrumbs"]["values"]
    messages = [breadcrumb["message"] for breadcrumb in breadcrumbs]
    assert messages[-1] == "before it broke"
    data = {name: text for b in breadcrumbs[:-1] for name, text in b["data"].items()}
    assert data == {"new_checkout": "off → on", "banner_text": "value changed"}
    assert "a secret value" not in str(event)


def test_other_apps_and_code_outside_of_apps_are_left_alone(
    make_app: MakeApp, transport: KeptTransport
) -> None:
    app, other = make_app(), make_app()
    sentry.init_app(app)
    sentry_sdk.capture_message("no app")
    with other.app_context():
        flags.is_feature_enabled("banner_text")
        sentry_sdk.capture_message("other app")
    with app.app_context():
        sentry_sdk.capture_message("nothing read")
    assert ["flags" in event.get("contexts", {}) for event in transport.events] == [False] * 3


def test_an_error_of_a_context_that_reads_nothing_looks_no_identity_up(
    make_app: MakeApp, transport: KeptTransport
) -> None:
    flagsmith = FlagsmithRealtime()
    app = make_app(flagsmith)
    sentry.init_app(app)
    calls: list[str] = []
    flagsmith.identity_loader(lambda: calls.append("called"))
    with app.app_context():
        sentry_sdk.capture_message("nothing read")
    assert len(transport.events) == 1
    assert calls == []


def test_an_app_without_the_extension_is_refused() -> None:
    with pytest.raises(NotInitializedError):
        sentry.init_app(Flask("bare"))
