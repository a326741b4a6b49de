"""The doctor's comparison of this machine's clock with the API's."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest

from flask_flagsmith_realtime.config.settings import read_config
from flask_flagsmith_realtime.doctor import network as probes
from flask_flagsmith_realtime.doctor.findings import Level
from flask_flagsmith_realtime.doctor.network import Reply
from flask_flagsmith_realtime.doctor.verdicts import (
    diagnose_clock,
)


@pytest.mark.parametrize(
    ("ahead", "level", "words"),
    [
        (0.4, Level.OK, "agrees"),
        (-9.0, Level.OK, "agrees"),
        (90.0, Level.WARNING, "90 s behind the API's"),
        (-90.0, Level.WARNING, "90 s ahead of the API's"),
        (None, Level.WARNING, "does not send its time"),
    ],
)
def test_the_clock_is_compared(ahead: float | None, level: Level, words: str) -> None:
    found = diagnose_clock(Reply(403, "application/json", ahead))
    assert found.level is level
    assert words in found.message


@pytest.mark.parametrize(
    ("headers", "ahead"),
    [
        ({"Date": lambda: formatdate(time.time() + 100, usegmt=True)}, 100.0),
        ({"Date": lambda: formatdate(time.time() - 60, usegmt=True), "Age": lambda: "60"}, 0.0),
        ({"Date": lambda: "yesterday"}, None),
        ({}, None),
    ],
)
def test_the_clock_is_compared_with_the_date_of_an_answer(
    headers: dict[str, Callable[[], str]], ahead: float | None
) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(403)
            for name, content in headers.items():
                self.send_header(name, content())
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/api/v1/"
        reply = probes.ask_without_key(read_config({"FLAGSMITH_ENVIRONMENT_KEY": "key"}), url)
        thread.join()
    assert reply.ahead == (None if ahead is None else pytest.approx(ahead, abs=2.0))
