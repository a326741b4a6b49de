"""Behind an Edge Proxy, whose documented answers differ from those of Flagsmith.

It serves ``environment-document`` without the final slash and redirects there; its answers have no
header with an epoch; it has no stream; it answers 401 for an unknown key.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime, flags, refresh_failed
from flask_flagsmith_realtime.emulator import Emulator
from tests.support.apps import Received
from tests.support.fleets import Members
from tests.support.logs import events
from tests.support.waiting import eventually


class EdgeProxy:
    """Serves the environment of a local Flagsmith as the Edge Proxy does."""

    def __init__(self, flagsmith: Emulator) -> None:
        self.flagsmith = flagsmith
        self.calls: Counter[str] = Counter()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, headers, content = proxy.answer(
                    self.path, self.headers.get("X-Environment-Key", "")
                )
                body = b"" if content is None else json.dumps(content).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    @property
    def config(self) -> dict[str, Any]:
        return {
            "FLAGSMITH_ENVIRONMENT_KEY": self.flagsmith.server_side_key,
            "FLAGSMITH_API_URL": f"{self.url}api/v1/",
            "FLAGSMITH_ENABLE_REALTIME_UPDATES": False,
            "FLAGSMITH_ENVIRONMENT_REFRESH_INTERVAL_SECONDS": 0.2,
        }

    def answer(self, path: str, key: str) -> tuple[int, dict[str, str], Any]:
        self.calls[path] += 1
        headers = {"Content-Type": "application/json"}
        if path == "/api/v1/environment-document/":
            return 307, {"Location": f"{self.url}api/v1/environment-document"}, None
        if path not in ("/api/v1/environment-document", "/api/v1/flags/"):
            return 404, headers, {"detail": "Not Found"}
        if key not in (self.flagsmith.server_side_key, self.flagsmith.client_side_key):
            return 401, headers, {"status": "unauthorized", "message": f"unknown key {key!r}"}
        document = self.flagsmith.document
        if path == "/api/v1/environment-document":
            return 200, headers, document
        return (
            200,
            headers,
            [
                {
                    "feature": {name: state["feature"][name] for name in ("id", "name", "type")},
                    "enabled": state["enabled"],
                    "feature_state_value": state["feature_state_value"],
                }
                for state in document["feature_states"]
            ],
        )

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def edge_proxy(emulator: Emulator) -> Iterator[EdgeProxy]:
    proxy = EdgeProxy(emulator)
    yield proxy
    proxy.stop()


def test_local_evaluation_follows_by_polling(members: Members, edge_proxy: EdgeProxy) -> None:
    members.settings = edge_proxy.config
    members.start(1)
    members.wait_for_flags()
    edge_proxy.flagsmith.set_flag("banner_text", value="through the proxy")
    members.wait_for("through the proxy")
    # The document has its epoch.
    assert members.all[0].snapshot.epoch == pytest.approx(edge_proxy.flagsmith.epoch, abs=1e-6)


def test_remote_evaluation_follows_without_an_epoch(
    members: Members, edge_proxy: EdgeProxy
) -> None:
    members.settings = {
        **edge_proxy.config,
        "FLAGSMITH_ENVIRONMENT_KEY": edge_proxy.flagsmith.client_side_key,
    }
    members.start(1)
    members.wait_for_flags()
    assert members.all[0].snapshot.epoch is None
    edge_proxy.flagsmith.set_flag("banner_text", value="through the proxy")
    members.wait_for("through the proxy")


@pytest.mark.parametrize("key", ["server_side_key", "client_side_key"])
def test_a_fleet_shares_the_answers_of_the_proxy(
    members: Members, edge_proxy: EdgeProxy, key: str
) -> None:
    members.settings.update(
        {**edge_proxy.config, "FLAGSMITH_ENVIRONMENT_KEY": getattr(edge_proxy.flagsmith, key)}
    )
    members.start(3)
    assert members.leader
    for number in range(3):
        edge_proxy.flagsmith.set_flag("banner_text", value=f"number {number}")
        members.wait_for(f"number {number}")
    assert [member.calls for member in members.of_role("follower")] == [0, 0]


def test_flags_are_polled_when_the_proxy_refuses_the_stream(
    members: Members, edge_proxy: EdgeProxy, caplog: pytest.LogCaptureFixture
) -> None:
    members.settings = {
        **edge_proxy.config,
        "FLAGSMITH_ENABLE_REALTIME_UPDATES": True,
        "FLAGSMITH_REALTIME_API_URL": edge_proxy.url,
    }
    members.start(1)
    members.wait_for_flags()
    edge_proxy.flagsmith.set_flag("banner_text", value="polled")
    members.wait_for("polled")
    eventually(lambda: "stream_trouble" in events(caplog))


def test_the_stream_of_flagsmith_works_beside_the_proxy(
    members: Members, edge_proxy: EdgeProxy
) -> None:
    members.settings = {
        **edge_proxy.config,
        "FLAGSMITH_ENABLE_REALTIME_UPDATES": True,
        "FLAGSMITH_REALTIME_API_URL": edge_proxy.flagsmith.realtime_api_url,
        "FLAGSMITH_ENVIRONMENT_REFRESH_INTERVAL_SECONDS": 3600,
    }
    members.start(1)
    assert edge_proxy.flagsmith.wait_for_streams(1)
    edge_proxy.flagsmith.set_flag("banner_text", value="streamed")
    members.wait_for("streamed")


def test_an_unknown_key_is_logged(edge_proxy: EdgeProxy, caplog: pytest.LogCaptureFixture) -> None:
    app = Flask("shop")
    app.config.update(
        edge_proxy.config,
        FLAGSMITH_ENVIRONMENT_KEY="ser.unknown",
        FLAGSMITH_STARTUP_TIMEOUT_SECONDS=0,
    )
    failed = Received(refresh_failed, app)
    flagsmith = FlagsmithRealtime(app)
    failed.wait()
    with app.app_context():
        assert not flags["banner_text"]
    # It is logged after the signal.
    eventually(lambda: events(caplog) == ["fetch_trouble"], lambda: caplog.text)
    flagsmith.stop(app)
    assert "ser.unknown" not in caplog.text
