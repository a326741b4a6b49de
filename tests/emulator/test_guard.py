"""Pages of other sites: the SDK's endpoints are open to them, the emulator's own page is not."""

from __future__ import annotations

import pytest
import requests

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.waiting import PATIENCE_SECONDS


def switch(emulator: Emulator, url: str | None = None, **headers: str) -> int:
    """Switch ``new_checkout`` on as the page does, and return the status."""
    return requests.post(
        f"{url or emulator.url}edit/switch",
        data={"feature": "new_checkout", "enabled": "on"},
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        allow_redirects=False,
        timeout=PATIENCE_SECONDS,
    ).status_code


def is_on(emulator: Emulator) -> bool:
    return bool(emulator.document["feature_states"][0]["enabled"])


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Referer": "https://evil.example/page"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
    ],
    ids=lambda headers: ", ".join(f"{name} {value}" for name, value in headers.items()),
)
def test_a_change_from_elsewhere_is_refused(emulator: Emulator, headers: dict[str, str]) -> None:
    assert switch(emulator, **headers) == 403
    assert not is_on(emulator)


def test_a_change_from_the_page_is_made(emulator: Emulator) -> None:
    origin = emulator.url.rstrip("/")

    assert (
        switch(emulator, Origin=origin, Referer=emulator.url, Sec_Fetch_Site="same-origin") == 303
    )
    assert is_on(emulator)


def test_a_change_from_a_program_is_made(emulator: Emulator) -> None:
    assert switch(emulator) == 303


def test_the_page_may_be_called_localhost(emulator: Emulator) -> None:
    url = emulator.url.replace("127.0.0.1", "localhost")

    assert switch(emulator, url, Origin=url.rstrip("/")) == 303
    assert switch(emulator, url, Origin=emulator.url.rstrip("/")) == 403


@pytest.mark.parametrize("path", ["", "api/v1/flags/", "sse/environments/x/stream", "nowhere"])
def test_another_name_for_this_machine_gets_nothing(emulator: Emulator, path: str) -> None:
    # So a page cannot read it by letting a name of its own point to this machine.
    headers = {"Host": "evil.example", "X-Environment-Key": emulator.server_side_key}
    response = requests.get(emulator.url + path, headers=headers, timeout=PATIENCE_SECONDS)

    assert response.status_code == 403


ELSEWHERE = {"Origin": "https://shop.example", "Sec-Fetch-Site": "cross-site"}


def test_pages_of_every_origin_may_use_the_sdks_endpoints(emulator: Emulator) -> None:
    key = {"X-Environment-Key": emulator.client_side_key}
    response = requests.post(
        emulator.api_url + "identities/",
        json={"identifier": "ada", "traits": [{"trait_key": "plan", "trait_value": "free"}]},
        headers=ELSEWHERE | key,
        timeout=PATIENCE_SECONDS,
    )
    stream = requests.get(
        f"{emulator.url}sse/environments/{emulator.client_side_key}/stream",
        headers=ELSEWHERE,
        stream=True,
        timeout=PATIENCE_SECONDS,
    )

    with response, stream:
        for answer in response, stream:
            assert answer.status_code == 200
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("path", ["api/v1/identities/", "v1/events", "sse/environments/x/stream"])
def test_a_preflight_request_is_answered(emulator: Emulator, path: str) -> None:
    asked = {"Access-Control-Request-Method": "POST"}
    response = requests.options(
        emulator.url + path, headers=ELSEWHERE | asked, timeout=PATIENCE_SECONDS
    )

    assert response.status_code == 200
    assert "x-environment-key" in response.headers["Access-Control-Allow-Headers"]


@pytest.mark.parametrize("path", ["", "version", "edit/switch", "static/page.js"])
def test_the_page_is_for_its_own_origin_alone(emulator: Emulator, path: str) -> None:
    asked = {"Access-Control-Request-Method": "POST"}
    preflight = requests.options(
        emulator.url + path, headers=ELSEWHERE | asked, timeout=PATIENCE_SECONDS
    )
    read = requests.get(emulator.url + path, headers=ELSEWHERE, timeout=PATIENCE_SECONDS)

    for response in preflight, read:
        assert not [name for name in response.headers if name.startswith("Access-Control")]


def test_a_page_cannot_use_the_server_side_key(emulator: Emulator) -> None:
    # It can be guessed: it is made of the client-side key.
    headers = ELSEWHERE | {"X-Environment-Key": emulator.server_side_key}
    response = requests.get(
        emulator.api_url + "environment-document/", headers=headers, timeout=PATIENCE_SECONDS
    )

    assert response.status_code == 403
    assert response.json() == {"detail": "A page must not use the server-side key."}


def test_no_page_may_frame_it_or_run_scripts_in_it(emulator: Emulator) -> None:
    policy = requests.get(emulator.url, timeout=PATIENCE_SECONDS).headers["Content-Security-Policy"]

    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
