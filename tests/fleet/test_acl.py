"""The permissions of the documentation are sufficient for a fleet."""

from __future__ import annotations

import re

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.fleets import Members
from tests.support.paths import DOCS
from tests.support.redis_server import RedisServer

PAGE = DOCS / "fleet.rst"


def test_the_documented_permissions_are_sufficient(
    members: Members, redis_server: RedisServer, emulator: Emulator
) -> None:
    found = re.search(r"ACL (SETUSER .*?)\n\n", PAGE.read_text(), re.DOTALL)
    assert found is not None
    words = found[1].replace("\\", " ").split()
    assert words[:2] == ["SETUSER", "flags"]
    redis_server.client.execute_command("ACL", *words)
    members.settings["FLAGSMITH_REDIS_URL"] = (
        f"redis://flags:a-long-password@127.0.0.1:{redis_server.port}/0"
    )
    members.start(2)
    leader = members.leader
    emulator.set_flag("banner_text", value="with few rights")
    members.wait_for("with few rights")
    members.stop(leader)
    assert members.leader
