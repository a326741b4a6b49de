"""Sessions: what they carry where, what they trust, what they leave in a forked child."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme

from flask_flagsmith_realtime.client import (
    API,
    Sockets,
    describe_failure,
    get_within_origin,
    make_session,
)
from flask_flagsmith_realtime.client.failures import CrossOriginRedirectError
from flask_flagsmith_realtime.config.settings import read_config
from flask_flagsmith_realtime.processes import forks
from tests.support.misbehaving import MisbehavingFlagsmith, answers
from tests.support.misbehaving.answers import Call
from tests.support.waiting import PATIENCE_SECONDS

TIMEOUT = (PATIENCE_SECONDS, PATIENCE_SECONDS)


def session_for(flagsmith: MisbehavingFlagsmith, **settings: Any) -> requests.Session:
    config = read_config({**flagsmith.config, **settings})
    return make_session(config, Sockets())


def ask(session: requests.Session, url: str) -> requests.Response:
    headers = {"X-Environment-Key": MisbehavingFlagsmith.server_side_key}
    return get_within_origin(session, url, headers, TIMEOUT)


def document_url(flagsmith: MisbehavingFlagsmith) -> str:
    return f"{flagsmith.api_url}environment-document/"


# Redirects


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_on_the_same_origin_is_followed_with_the_key(
    flagsmith: MisbehavingFlagsmith, code: int
) -> None:
    flagsmith.environment_document.next(answers.redirect("/api/v1/flags/?moved", code))
    with session_for(flagsmith) as session:
        response = ask(session, document_url(flagsmith))
    assert response.status_code == 200
    assert flagsmith.flags.requests[0].path == "/api/v1/flags/?moved"
    assert flagsmith.flags.requests[0].headers["x-environment-key"] == flagsmith.server_side_key


@pytest.mark.parametrize(
    "target",
    [
        "http://localhost:{port}/",
        "//127.0.0.1:{port}/x",
        "http://127.0.0.1:{port}/",
        "https://127.0.0.1:{api_port}/",
        "http://127.0.0.1.nip.invalid/",
        "ftp://127.0.0.1:{api_port}/",
    ],
)
def test_a_redirect_to_another_origin_is_not_followed(
    flagsmith: MisbehavingFlagsmith, target: str
) -> None:
    url = target.format(port=flagsmith.elsewhere_server.port, api_port=flagsmith.api_server.port)
    flagsmith.environment_document.next(answers.redirect(url))
    with (
        session_for(flagsmith) as session,
        pytest.raises(CrossOriginRedirectError, match="another origin"),
    ):
        ask(session, document_url(flagsmith))
    assert flagsmith.elsewhere.count == 0
    assert len(flagsmith.calls) == 1


def test_redirects_in_a_circle_end(flagsmith: MisbehavingFlagsmith) -> None:
    flagsmith.environment_document.always(answers.redirect(document_url(flagsmith)))
    with (
        session_for(flagsmith) as session,
        pytest.raises(CrossOriginRedirectError, match="in a circle"),
    ):
        ask(session, document_url(flagsmith))
    assert len(flagsmith.calls) == 6


@pytest.mark.parametrize("location", ["http://[", "http://127.0.0.1:99999999/", "\xff\xfe"])
def test_a_redirect_to_a_malformed_url_raises_the_usual_error(
    flagsmith: MisbehavingFlagsmith, location: str
) -> None:
    flagsmith.environment_document.next(answers.redirect(location))
    with (
        session_for(flagsmith) as session,
        pytest.raises(requests.RequestException) as caught,
    ):
        ask(session, document_url(flagsmith)).raise_for_status()
    assert describe_failure(caught.value) != type(caught.value).__name__


def test_the_body_of_a_redirect_is_not_read(flagsmith: MisbehavingFlagsmith) -> None:
    def redirect_with_endless_body(call: Call) -> None:
        head = b"HTTP/1.1 302 Found\r\nLocation: /api/v1/flags/\r\n\r\n"
        call.exchange.send(head)
        while True:
            call.exchange.send(bytes(65536))

    flagsmith.environment_document.next(redirect_with_endless_body)
    with session_for(flagsmith) as session:
        assert ask(session, document_url(flagsmith)).status_code == 200
    assert flagsmith.environment_document.requests[0].sent < 32 * 2**20


# Cookies, passwords, proxies


def test_cookies_are_not_kept(flagsmith: MisbehavingFlagsmith) -> None:
    flagsmith.flags.next(answers.body(b"[]", {"Set-Cookie": "replica=1; Path=/"}))
    with session_for(flagsmith) as session:
        for _ in range(2):
            ask(session, f"{flagsmith.api_url}flags/").close()
    assert "cookie" not in flagsmith.flags.requests[1].headers


def test_passwords_of_netrc_are_not_sent(
    flagsmith: MisbehavingFlagsmith, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    flagsmith.environment_document.next(answers.redirect("/api/v1/flags/"))
    with session_for(flagsmith) as session:
        ask(session, document_url(flagsmith)).close()
    assert [call.path for call in flagsmith.calls] == [
        "/api/v1/environment-document/",
        "/api/v1/flags/",
    ]
    assert not any("authorization" in call.headers for call in flagsmith.calls)


def test_the_proxies_of_the_settings_come_before_those_of_the_environment(
    flagsmith: MisbehavingFlagsmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{flagsmith.stream_server.port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    proxy = flagsmith.elsewhere_server.origin
    with session_for(flagsmith, FLAGSMITH_PROXIES={"http": proxy}) as session:
        ask(session, "http://flagsmith.invalid/api/v1/flags/").close()
    # A proxy is asked for the whole URL.
    assert flagsmith.elsewhere.requests[0].path == "http://flagsmith.invalid/api/v1/flags/"
    assert flagsmith.stream.count == 0


def test_an_unreachable_proxy_is_named_without_its_password(
    flagsmith: MisbehavingFlagsmith,
) -> None:
    flagsmith.elsewhere_server.refuse()
    proxy = f"http://someone:secret@127.0.0.1:{flagsmith.elsewhere_server.port}"
    with (
        session_for(flagsmith, FLAGSMITH_PROXIES={"http": proxy}) as session,
        pytest.raises(requests.RequestException) as caught,
    ):
        ask(session, "http://flagsmith.invalid/api/v1/flags/")
    words = describe_failure(caught.value)
    assert "FLAGSMITH_PROXIES" in words
    assert "secret" not in words


def test_the_settings_show_no_secret() -> None:
    config = read_config(
        {
            "FLAGSMITH_ENVIRONMENT_KEY": "ser.secret",
            "FLAGSMITH_PROXIES": {"https": "http://someone:secret@127.0.0.1:1"},
            "FLAGSMITH_CUSTOM_HEADERS": {"Authorization": "Bearer secret"},
        }
    )
    assert "secret" not in repr(config).replace("webhook_secret", "")


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_flagsmith(authority: trustme.CA) -> Iterator[MisbehavingFlagsmith]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with MisbehavingFlagsmith(tls=context) as running:
        yield running


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trusts the authority by REQUESTS_CA_BUNDLE."""
    bundle = tmp_path / "authorities.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))


@pytest.mark.usefixtures("trusted")
def test_requests_ca_bundle_is_trusted(tls_flagsmith: MisbehavingFlagsmith) -> None:
    with session_for(tls_flagsmith) as session:
        assert ask(session, f"{tls_flagsmith.api_url}flags/").status_code == 200


def test_an_unknown_authority_is_refused_whatever_the_session_says(
    tls_flagsmith: MisbehavingFlagsmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The widespread recipes by which programs switch verification off for everything.
    monkeypatch.setattr(
        requests.Session,
        "merge_environment_settings",
        lambda *args: {"verify": False, "proxies": {}, "stream": True, "cert": None},
    )
    send = requests.Session.send
    monkeypatch.setattr(
        requests.Session, "send", lambda *args, **kwargs: send(*args, **{**kwargs, "verify": False})
    )
    with session_for(tls_flagsmith) as session:
        session.verify = False
        with pytest.raises(requests.exceptions.SSLError) as caught:
            ask(session, f"{tls_flagsmith.api_url}flags/")
    assert "TLS certificate was not accepted" in describe_failure(caught.value)
    assert tls_flagsmith.calls == []


def test_a_bundle_that_is_not_there_is_named(
    tls_flagsmith: MisbehavingFlagsmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")
    with session_for(tls_flagsmith) as session, pytest.raises(OSError, match="bundle") as caught:
        ask(session, f"{tls_flagsmith.api_url}flags/")
    assert "/no/such/bundle.pem" in describe_failure(caught.value)


# Addresses


def test_addresses_that_do_not_answer_leave_time_for_the_next(
    flagsmith: MisbehavingFlagsmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = flagsmith.api_server.port
    with contextlib.ExitStack() as stack:
        stack.enter_context(socket.create_server(("127.0.0.2", port), backlog=0))
        while True:
            # Until the backlog is full: further connections get no answer.
            one = stack.enter_context(socket.socket())
            one.settimeout(1.0)
            try:
                one.connect(("127.0.0.2", port))
            except TimeoutError:
                break
        resolve_as(monkeypatch, "several.invalid", [*["127.0.0.2"] * 2, "127.0.0.1"])
        url = f"http://several.invalid:{port}/api/v1/"
        settings = {"FLAGSMITH_API_URL": url, "FLAGSMITH_REQUEST_TIMEOUT_SECONDS": 9.0}
        api = API(read_config({**flagsmith.config, **settings}))
        assert api.fetch().flags
        api.close()


def test_an_address_that_refuses_is_passed_over(
    flagsmith: MisbehavingFlagsmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_as(monkeypatch, "several.invalid", ["127.0.0.2", "127.0.0.1"])
    url = f"http://several.invalid:{flagsmith.api_server.port}/api/v1/flags/"
    with session_for(flagsmith) as session:
        assert ask(session, url).status_code == 200
    assert flagsmith.flags.requests[0].headers["host"].startswith("several.invalid:")


def resolve_as(monkeypatch: pytest.MonkeyPatch, host: str, addresses: list[str]) -> None:
    """Resolve a host to some addresses: no resolver is at hand that knows one of several."""
    resolve = socket.getaddrinfo

    def resolve_host(name: str, port: int, *args: Any) -> Any:
        names = addresses if name == host else [name]
        return [found for each in names for found in resolve(each, port, *args)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve_host)


# Another thread ends it; a forked child leaves it alone


def test_ended_sockets_end_a_call_that_hangs_and_each_later_one(
    flagsmith: MisbehavingFlagsmith,
) -> None:
    end_two_hanging_calls(flagsmith)


@pytest.mark.usefixtures("trusted")
def test_ended_sockets_end_a_call_over_tls(tls_flagsmith: MisbehavingFlagsmith) -> None:
    end_two_hanging_calls(tls_flagsmith)


def end_two_hanging_calls(flagsmith: MisbehavingFlagsmith) -> None:
    flagsmith.flags.always(answers.hang)
    sockets = Sockets()
    errors: list[BaseException] = []

    def call() -> None:
        config = read_config(flagsmith.config)
        with make_session(config, sockets) as session:
            for _ in range(2):
                try:
                    get_within_origin(session, f"{flagsmith.api_url}flags/", {}, (600.0, 600.0))
                except requests.RequestException as error:
                    errors.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    flagsmith.wait_for(lambda: flagsmith.flags.count == 1)
    sockets.end()
    caller.join(PATIENCE_SECONDS)
    assert len(errors) == 2


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_closes_its_copies_and_does_not_disturb_the_parent(
    flagsmith: MisbehavingFlagsmith,
) -> None:
    url = f"{flagsmith.realtime_api_url}sse/environments/x/stream"
    session = session_for(flagsmith)
    response = get_within_origin(session, url, {}, TIMEOUT)
    read = iter(lambda: response.raw.read1(65536), b"")
    assert b"updated_at" in next(read)
    read_end, write_end = os.pipe()
    inherited = len(os.listdir("/proc/self/fd"))
    child = os.fork()
    if child == 0:
        # Whatever happens, the child must not go on with the rest of the tests.
        try:
            forks._close_inherited_sockets()
            ours_gone = len(os.listdir("/proc/self/fd")) < inherited
            os.close(write_end)
            os.read(read_end, 1)
        finally:
            os._exit(0 if ours_gone else 1)
    try:
        os.close(read_end)
        # The connection lives on, in both directions…
        flagsmith.announce(1.0)
        assert b"updated_at" in next(read)
        # …and ends when the parent ends it, though the child is alive.
        response.close()
        session.close()
        flagsmith.wait_for_streams(0)
    finally:
        os.close(write_end)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
