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
from tests.support.misbehaving import MisbehavingFlagsmith, Stream, event
from tests.support.servers import Answer, Served, gunicorn
from tests.support.waiting import eventually

WORKERS = 2
#: The banner at the start.
BEFORE = "Welcome!"

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

    def wait_for(self, condition: Callable[[Answer], bool], path: str = "/") -> list[Answer]:
        """Wait until all workers' answers meet a condition."""
        answers = self.server.wait_for_all(WORKERS, condition, f"/{self.name}{path}")
        return list(answers.values())

    def wait_for_banner(self, banner: Any, path: str = "/") -> list[Answer]:
        """Wait until all workers show a banner."""
        return self.wait_for(lambda answer: bool(answer["banner"] == banner), path)

    def wait_until_idle(self) -> None:
        """Wait until all workers show the first state and listen."""
        self.wait_for_banner(BEFORE)
        self.flagsmith.wait_for_streams(WORKERS)

    def lines(self, count: int) -> list[str]:
        """Wait for so many lines of this lane in the log, and return all of them."""
        pattern = f"{self.flagsmith.api_url}|{self.flagsmith.realtime_api_url}"
        return lines(self.server, pattern, count)


def most_fetches(seconds: float) -> int:
    """Return the largest number of fetches that a worker may make for one change in a time."""
    return 1 + sum(sum(RETRY_SECONDS[: tries + 1]) <= seconds for tries in range(8))


def lines(server: Served, pattern: str, count: int) -> list[str]:
    """Wait for so many lines in a server's log that match, and return all of them."""

    def found() -> list[str]:
        return [line for line in server.output.splitlines() if re.search(pattern, line)]

    eventually(lambda: len(found()) >= count)
    return found()


class Lanes(dict[str, Lane]):
    """Lanes by name, and the server that they share: the newest one."""

    def __init__(self, lanes: Mapping[str, Lane]) -> None:
        super().__init__(lanes)
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
        configs = {name: {**lane.flagsmith.config} for name, lane in self.items()}
        for name, own in (settings or {}).items():
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
