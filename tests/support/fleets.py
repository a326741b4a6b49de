"""Apps that share flags through a Redis, in one process."""

from __future__ import annotations

from typing import Any

from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.engine import RefreshHint
from flask_flagsmith_realtime.fleet import FleetMember
from flask_flagsmith_realtime.fleet.election import FleetTimings
from tests.support.waiting import PATIENCE_SECONDS, eventually

#: Timings with quick heartbeats and retries. A member that the machine holds up keeps its role, and
#: no member fetches because its first role takes long.
QUICK = FleetTimings(
    first_role_seconds=PATIENCE_SECONDS,
    beat_seconds=0.3,
    expiry_seconds=15.0,
    patience_seconds=1.0,
    longest_retry_seconds=0.5,
    unfit_seconds=10 * PATIENCE_SECONDS,
)


class Member:
    """An app with an engine of its own, which stands for one process of a fleet."""

    def __init__(self, name: str, settings: dict[str, Any], pace: FleetTimings) -> None:
        self.app = Flask(name)
        self.app.config.update(settings)
        self.flagsmith = FlagsmithRealtime()
        FleetMember.timings = pace
        self.flagsmith.init_app(self.app)
        self._state = self.app.extensions["flagsmith_realtime"]

    @property
    def snapshot(self) -> Any:
        return self._state.engine._store.snapshot

    @property
    def source(self) -> FleetMember:
        source: FleetMember = self._state.engine._source
        return source

    @property
    def banner(self) -> object:
        flag = self.snapshot and self.snapshot.flags.get("banner_text")
        return flag and flag.value

    @property
    def role(self) -> str | None:
        role = self.source._role
        return None if role is None else str(role.value)

    @property
    def known_version(self) -> str | None:
        """The version of the shared flags that it has read or written last."""
        return self.source._shared.known

    @property
    def calls(self) -> int:
        """The number of its calls to the API."""
        return int(self.flagsmith.status.calls)

    def tell(self) -> None:
        """Do what a signed call of the webhook does."""
        self._state.engine.refresh(RefreshHint(None))

    def stop(self) -> None:
        self.flagsmith.stop(self.app)


class Members:
    """The members of a fleet."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = {"FLAGSMITH_STARTUP_TIMEOUT_SECONDS": PATIENCE_SECONDS, **settings}
        self.pace = QUICK
        self.all: list[Member] = []

    def start(self, count: int, **settings: Any) -> list[Member]:
        more = {f"FLAGSMITH_{name}": value for name, value in settings.items()}
        started = [
            Member(f"member_{len(self.all) + number}", {**self.settings, **more}, self.pace)
            for number in range(count)
        ]
        self.all += started
        return started

    def stop(self, member: Member) -> None:
        self.all.remove(member)
        member.stop()

    def of_role(self, role: str) -> list[Member]:
        return [member for member in self.all if member.role == role]

    @property
    def leader(self) -> Member:
        """The leader; waits until there is one and all others follow."""
        eventually(
            lambda: (
                len(self.of_role("leader")) == 1
                and len(self.of_role("follower")) == len(self.all) - 1
            )
        )
        return self.of_role("leader")[0]

    def wait_for(self, banner: str) -> None:
        """Wait until all serve a banner."""
        eventually(lambda: all(member.banner == banner for member in self.all), self.describe)

    def wait_for_flags(self) -> None:
        """Wait until all serve flags."""
        eventually(lambda: all(member.snapshot for member in self.all), self.describe)

    def wait_for_role(self, role: str) -> None:
        """Wait until all have a role."""
        eventually(lambda: len(self.of_role(role)) == len(self.all), self.describe)

    def wait_for_state(self, state: str) -> None:
        """Wait until the status of all has a state."""
        eventually(
            lambda: all(member.flagsmith.status.state == state for member in self.all),
            lambda: str([member.flagsmith.status for member in self.all]),
        )

    def describe(self) -> str:
        return str([(member.app.name, member.role, member.banner) for member in self.all])


def calls(emulator: Emulator) -> int:
    """Return the number of calls for the environment."""
    return emulator.calls["environment-document/"] + emulator.calls["flags/"]
