"""``FLAGSMITH_REDIS_URL``: valid values, refused values, and no password in errors."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import trustme
from flask import Flask

from flask_flagsmith_realtime import ConfigError, FlagsmithRealtime
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.fleet.redis_client import check_url, redacted_url
from tests.support.fleets import Members
from tests.support.programs import find_program
from tests.support.redis_server import RedisServer
from tests.support.waiting import PATIENCE_SECONDS, eventually


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost", "redis://localhost"),
        ("redis://me:pass%2Fword@[::1]:6380/3", "redis://[::1]:6380/3"),
        ("rediss://:password@redis.example:6380/0", "rediss://redis.example:6380/0"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock"),
        ("unix://me:password@/run/redis.sock", "unix:///run/redis.sock"),
        ("redis://me:pass@word@localhost?client_name=shop", "redis://localhost"),
        ("redis://localhost?username=me&password=pass%40word&db=1", "redis://localhost"),
        (
            "rediss://localhost?ssl_ca_certs=/ca.pem&ssl_certfile=/a.pem&ssl_keyfile=/b.pem",
            "rediss://localhost",
        ),
        ("redis+sentinel://a:26379,b/mymaster", "redis+sentinel://a:26379,b/mymaster"),
        (
            "rediss+sentinel://me:password@a,b:1/mymaster/2?sentinel_password=password",
            "rediss+sentinel://a,b:1/mymaster/2",
        ),
    ],
)
def test_a_valid_url_is_shown_without_its_password(url: str, shown: str) -> None:
    check_url(url)
    assert redacted_url(url) == shown


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("localhost:6379", "it starts with something else"),
        ("https://hidden.example/", "it starts with something else"),
        ("redis://me:hidden@host:port/0", "it is not one"),
        ("redis://host:99999/0", "it is not one"),
        ("redis://me:hid/den@host", "it holds an @ after a / or a ?"),
        ("redis://me:1/hidden@host", "it holds an @ after a / or a ?"),
        ("redis://me:1#hidden@host", "it holds a #"),
        ("redis://host/hidden", "its path is not the number of a database"),
        ("redis://host?hidden=1", "in its query it takes no option but client_name, db, "),
        ("redis://host?socket_timeout=hidden", "in its query it takes no option but"),
        # Each of these would fail at the first call or later.
        ("redis://host?decode_responses=True", "in its query it takes no option but"),
        ("redis://host?max_connections=1", "in its query it takes no option but"),
        ("redis://host?protocol=3", "in its query it takes no option but"),
        ("redis://host?hidden", "in its query it takes no option but"),
        ("redis://host?db=hidden", "it is not one"),
        # Part of a password that is not escaped would be host, path or option, and be logged.
        ("redis://:hid?den@127.0.0.1:6701/0", "it holds an @ after a / or a ?"),
        ("redis://hidden:12?34@127.0.0.1:6701/0", "it holds an @ after a / or a ?"),
        ("redis+sentinel://me:1/hidden@host/mymaster", "it holds an @ after a / or a ?"),
        ("unix://me:1/hidden@/run/redis.sock", "it holds an @ after a / or a ?"),
        ("unix://me:1#hidden@/run/redis.sock", "it holds a #"),
        ("unix://hidden/redis.sock", "the path of its socket begins after three slashes"),
        ("redis://", "it names no host"),
        ("redis:///0", "it names no host"),
        ("redis://:hidden@/0", "it names no host"),
        # The check of the server's certificate cannot be turned off.
        ("rediss://host?ssl_cert_reqs=none", "in its query it takes no option but client_name, "),
        ("rediss://host?ssl_check_hostname=no", "in its query it takes no option but"),
        ("redis+sentinel://hidden", "it names their hosts and the service"),
        ("redis+sentinel://host,:1/mymaster", "one of the sentinels has no host"),
        ("redis+sentinel://host/mymaster/hidden", "not the number of a database"),
        ("redis+sentinel://host/mymaster?hidden=1", "no options but theirs"),
    ],
)
def test_a_wrong_url_is_an_error_at_the_start(url: str, reason: str) -> None:
    app = Flask("shop")
    app.config.update(FLAGSMITH_ENVIRONMENT_KEY="ser.key", FLAGSMITH_REDIS_URL=url)
    with pytest.raises(ConfigError) as caught:
        FlagsmithRealtime(app)
    message = str(caught.value)
    assert message.startswith("FLAGSMITH_REDIS_URL is not a URL of a Redis: ")
    assert reason in message
    assert "hid" not in message
    assert "It takes redis://" in message


@pytest.mark.slow
def test_a_missing_package_is_an_error_with_the_command_that_installs_it() -> None:
    code = """
import sys
sys.modules["redis"] = None
from flask import Flask
from flask_flagsmith_realtime import ConfigError, FlagsmithRealtime
app = Flask("shop")
app.config["FLAGSMITH_ENVIRONMENT_KEY"] = "ser.key"
app.testing = True
FlagsmithRealtime(app)
app = Flask("shop")
app.testing = True
app.config["FLAGSMITH_REDIS_URL"] = "redis://localhost"
try:
    FlagsmithRealtime(app)
except ConfigError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    assert "pip install 'flask-flagsmith-realtime[redis]'" in done.stdout


def test_redis_behind_a_socket_file(tmp_path: Path, members: Members) -> None:
    path = tmp_path / "redis.sock"
    server = RedisServer(tmp_path, "--unixsocket", str(path)).start()
    members.settings["FLAGSMITH_REDIS_URL"] = f"unix://{path}"
    members.start(2)
    assert members.leader
    assert set(server.keys()) >= {"leader"}
    for member in list(members.all):
        members.stop(member)
    server.close()


def test_tls_is_verified(tmp_path: Path, members: Members) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = RedisServer(
        tmp_path,
        *("--tls-port", str(port), "--tls-auth-clients", "no"),
        *("--tls-cert-file", str(tmp_path / "cert.pem")),
        *("--tls-key-file", str(tmp_path / "key.pem")),
        *("--tls-ca-cert-file", str(tmp_path / "ca.pem")),
    ).start()
    members.settings["FLAGSMITH_REDIS_URL"] = f"rediss://127.0.0.1:{port}"
    (stranger,) = members.start(1)
    members.wait_for_role("alone")
    members.stop(stranger)
    members.settings["FLAGSMITH_REDIS_URL"] += f"?ssl_ca_certs={tmp_path / 'ca.pem'}"
    members.start(2)
    assert members.leader
    for member in list(members.all):
        members.stop(member)
    server.close()


@pytest.fixture
def sentinel(tmp_path: Path, redis_server: RedisServer) -> Iterator[int]:
    """A sentinel that watches the Redis: its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = tmp_path / "sentinel.conf"
    settings.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n"
        f"sentinel monitor mymaster 127.0.0.1 {redis_server.port} 1\n"
    )
    process = subprocess.Popen(
        [find_program("redis-server"), str(settings), "--sentinel"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    client = redis.Redis(port=port)

    def answers() -> bool:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False

    eventually(answers)
    yield port
    client.close()
    process.kill()
    process.wait()


def test_redis_is_found_through_sentinels(
    members: Members, redis_server: RedisServer, sentinel: int, emulator: Emulator
) -> None:
    members.settings["FLAGSMITH_REDIS_URL"] = (
        f"redis+sentinel://127.0.0.1:9,127.0.0.1:{sentinel}/mymaster/2"
    )
    members.start(2)
    assert members.leader
    emulator.set_flag("banner_text", value="through a sentinel")
    members.wait_for("through a sentinel")
    assert redis_server.client.info("keyspace")["db2"]["keys"] == 2
