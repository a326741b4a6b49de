"""What a fleet may do in Redis: the permissions of the documentation are sufficient."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.fleets import QUICK, Members
from tests.support.paths import DOCS
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually

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


def test_a_follower_without_the_permission_to_read_is_stale(
    members: Members, redis_server: RedisServer, emulator: Emulator
) -> None:
    # It reads when a message comes only, and so does not fail often enough to continue alone.
    members.pace = replace(QUICK, beat_seconds=300.0, expiry_seconds=900.0)
    members.start(1)
    assert members.leader
    set_user = partial(redis_server.client.execute_command, "ACL", "SETUSER", "reader")
    set_user("on", ">a-long-password", "~*", "&*", "+@all")
    url = f"redis://reader:a-long-password@127.0.0.1:{redis_server.port}/0"
    (reader,) = members.start(1, REDIS_URL=url)
    assert members.leader is not reader
    members.wait_for_flags()
    assert emulator.wait_for_streams(1)
    # Heartbeats do not need it.
    set_user("-hstrlen")
    emulator.set_flag("banner_text", value="not read")
    eventually(lambda: reader.flagsmith.status.state == "stale")
    assert "lacks a permission" in str(reader.flagsmith.status.last_error)
    set_user("+hstrlen")
    emulator.set_flag("banner_text", value="read")
    members.wait_for("read")
    eventually(lambda: reader.flagsmith.status.state != "stale")
