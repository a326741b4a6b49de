"""Lanes: misbehaving Flagsmiths, each with an app that follows it, all in the workers of one
gunicorn.

So many faults are tested in the time of one. Each lane's app has its own settings, threads and
connections; lanes share the process and its log, whose lines name the URL of their Flagsmith.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from flask_flagsmith_realtime.client.backoff import RETRY_SECONDS
from tests.support.misbehaving import MisbehavingFlagsmith, Request, Stream, event
from tests.support.servers import Answer, Served, gunicorn
from tests.support.waiting import PATIENCE_SECONDS, eventually

WORKERS = 2
#: The shortest time between two polls by :data:`PATIENT`.
FASTEST_POLL_SECONDS = 27.0
#: The banner at the start.
BEFORE = "Welcome!"

#: No time runs out while a machine is busy, unless a test sets it. The streams have no heartbeats.
PATIENT = {
    "REQUEST_TIMEOUT_SECONDS": PATIENCE_SECONDS,
    "STREAM_TIMEOUT_SECONDS": 10 * PATIENCE_SECONDS,
    "LIVE_REFRESH_INTERVAL_SECONDS": 10 * PATIENCE_SECONDS,
    # After a fault that lasts for long, the next fetch comes before a test loses its patience.
    "ENVIRONMENT_REFRESH_INTERVAL_SECONDS": 30.0,
}

#: A stream without a `retry:` field, so that the next connection is not delayed by it.
PLAIN = Stream(render=lambda epoch: event(epoch, retry=None))


class Lane:
    """A Flagsmith, and the app in each worker that follows it.

    :param name: the path of the app.
    """

    server: Served

    def __init__(self, name: str) -> None:
        self.name = name
        self.flagsmith = MisbehavingFlagsmith()
        self._calls_before = 0

    def wait_for(self, condition: Callable[[Answer], bool], path: str = "/") -> list[Answer]:
        """Wait until all workers' answers meet a condition."""
        answers = self.server.wait_for_all(WORKERS, condition, f"/{self.name}{path}")
        return list(answers.values())

    def wait_for_banner(self, banner: Any, path: str = "/") -> list[Answer]:
        """Wait until all workers show a banner."""
        return self.wait_for(lambda answer: bool(answer["banner"] == banner), path)

    def wait_until_idle(self) -> None:
        """Wait until all workers show the first state, listen, and have nothing more to fetch: a
        worker that is greeted late fetches for that."""
        self.wait_for(lambda answer: answer["banner"] == BEFORE and answer["is_greeted"])
        self.flagsmith.wait_for_streams(WORKERS)
        eventually(self._no_call_is_under_way)

    def _no_call_is_under_way(self) -> bool:
        self._calls_before = len(self.flagsmith.calls)
        return sum(answer["calls"] for answer in self.wait_for(bool)) == self._calls_before

    def calls(self) -> list[Request]:
        """Return all calls since :meth:`wait_until_idle`, in order. ``X-Worker`` names their
        process."""
        return self.flagsmith.calls[self._calls_before :]

    def lines(self, count: int) -> list[str]:
        """Wait for so many lines of this lane in the log, and return all of them."""
        pattern = f"{self.flagsmith.api_url}|{self.flagsmith.realtime_api_url}"
        return lines(self.server, pattern, count)


def most_fetches(seconds: float) -> int:
    """Return the largest number of fetches that a worker may make for one change in a time: nine in
    a minute, then at the pace of polling."""
    retries = sum(sum(RETRY_SECONDS[: tries + 1]) <= seconds for tries in range(8))
    return 1 + retries + int(seconds / FASTEST_POLL_SECONDS)


def lines(server: Served, pattern: str, count: int) -> list[str]:
    """Wait for so many lines in a server's log that match, and return all of them."""

    def found() -> list[str]:
        return [line for line in server.output.splitlines() if re.search(pattern, line)]

    eventually(lambda: len(found()) >= count)
    return found()


class Lanes(dict[str, Lane]):
    """Lanes by name, and the server that they share: the newest one.

    :param settings: settings of all lanes, without their prefix.
    """

    def __init__(
        self, lanes: Mapping[str, Lane], settings: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(lanes)
        self._settings = settings or {}
        self._servers: list[Served] = []

    @property
    def server(self) -> Served:
        return self._servers[-1]

    def serve(
        self,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        *options: str,
        app: str = "tests.support.lane_apps:create_app()",
    ) -> None:
        """Start the server.

        :param settings: settings by lane, without their prefix.
        :param options: options of gunicorn.
        :param app: what gunicorn serves.
        """
        configs: dict[str, dict[str, Any]] = {}
        for name, lane in self.items():
            own = {**self._settings, **(settings or {}).get(name, {})}
            configs[name] = lane.flagsmith.config
            configs[name] |= {f"FLAGSMITH_{key}": value for key, value in own.items()}
        workers = ("--workers", str(WORKERS), "--worker-class", "gthread", "--threads", "4")
        command = gunicorn(*workers, *options, app=app)
        environment = {"LANES": json.dumps(configs)}
        self._servers.append(Served(command, environment))
        for lane in self.values():
            lane.server = self.server

    def close(self) -> None:
        """End the servers and the Flagsmiths."""
        for server in self._servers:
            server.kill()
        for lane in self.values():
            lane.flagsmith.close()


MakeLanes = Callable[..., Lanes]
