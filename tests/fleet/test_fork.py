"""A forked child is a member of its own, without the connections of its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.servers import environment_of
from tests.support.waiting import eventually

SCRIPT = """
import os, signal
from flask import Flask
from flask_flagsmith_realtime import FlagsmithRealtime, flags

app = Flask("parent")
app.config.from_prefixed_env()
flagsmith = FlagsmithRealtime(app)
with app.app_context():
    assert flags["banner_text"]
input()
print(os.fork(), flush=True)
signal.pause()
"""


def test_a_child_joins_and_closes_inherited_connections(
    redis_server: RedisServer, emulator: Emulator
) -> None:
    settings = {**emulator.config, "FLAGSMITH_REDIS_URL": redis_server.url}

    def connections() -> set[str]:
        return {client["id"] for client in redis_server.client.client_list()}

    own = connections()
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment_of(settings)},
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        eventually(lambda: redis_server.subscribers() == 1)
        eventually(lambda: len(connections() - own) > 1)
        of_parent = connections() - own
        print(file=parent.stdin, flush=True)
        numbers = {int(parent.stdout.readline()), int(parent.stdout.readline())}
        (child,) = numbers - {0}
        try:
            eventually(lambda: redis_server.subscribers() == 2)
            parent.kill()
            # If the child had copies of the parent's connections, Redis would not see them end.
            eventually(lambda: redis_server.subscribers() == 1)
            eventually(lambda: not of_parent & connections())
        finally:
            parent.kill()
            os.kill(child, signal.SIGKILL)
