"""Other sites' pages cannot use the emulator, though they run on the same machine."""

from __future__ import annotations

import pytest
import requests

from flask_flagsmith_realtime.emulator import Emulator


def switch(emulator: Emulator, url: str | None = None, **headers: str) -> int:
    """Switch ``new_checkout`` on as the page does, and return the status."""
    return requests.post(
        f"{url or emulator.url}edit/switch",
        data={"feature": "new_checkout", "enabled": "on"},
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        allow_redirects=False,
        timeout=20,
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
    response = requests.get(emulator.url + path, headers=headers, timeout=20)

    assert response.status_code == 403


def test_identities_too_are_written_from_here_alone(emulator: Emulator) -> None:
    response = requests.post(
        emulator.api_url + "identities/",
        json={"identifier": "ada", "traits": [{"trait_key": "plan", "trait_value": "free"}]},
        headers={
            "X-Environment-Key": emulator.client_side_key,
            "Origin": "https://evil.example",
        },
        timeout=20,
    )

    assert response.status_code == 403
    assert "Access-Control-Allow-Origin" not in response.headers


def test_no_page_may_frame_it_or_run_scripts_in_it(emulator: Emulator) -> None:
    policy = requests.get(emulator.url, timeout=20).headers["Content-Security-Policy"]

    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
