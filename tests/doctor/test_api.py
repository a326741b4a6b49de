"""The doctor's checks of the key, the addresses and the API."""

from __future__ import annotations

import ssl

import trustme

from flask_flagsmith_realtime.config.settings import read_config
from flask_flagsmith_realtime.doctor.verdicts import (
    diagnose_addresses,
    diagnose_answer,
)
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.model.snapshot import Snapshot
from tests.support.doctor import app_with, find, findings
from tests.support.misbehaving import MisbehavingFlagsmith, answers


def test_a_client_side_key_is_explained(emulator: Emulator) -> None:
    found = find(app_with(emulator.config, ENVIRONMENT_KEY=emulator.client_side_key), "key")
    assert found["level"] == "ok"
    assert "remote evaluation" in found["message"]
    assert "use a server-side key; it starts with 'ser.'" in found["advice"]


def test_a_wrong_key_is_distinguished_from_a_wrong_url(emulator: Emulator) -> None:
    app = app_with(emulator.config, ENVIRONMENT_KEY="ser.of-another-environment")
    found = find(app, "API")
    assert found["level"] == "failed"
    assert "refused the server-side key (ser.…, 26 characters)" in found["message"]
    assert "There is a Flagsmith at FLAGSMITH_API_URL, so the key is wrong" in found["advice"]
    assert find(app, "stream")["level"] == "warning"


def test_a_url_without_its_path_is_completed(emulator: Emulator) -> None:
    found = find(app_with(emulator.config, API_URL=emulator.url), "API")
    assert found["level"] == "failed"
    assert (
        found["advice"]
        == f"There is a Flagsmith at {emulator.api_url}: set FLAGSMITH_API_URL to that."
    )


def test_a_page_instead_of_an_api_fails(flagsmith: MisbehavingFlagsmith) -> None:
    for endpoint in (flagsmith.environment_document, flagsmith.flags, flagsmith.other):
        endpoint.always(answers.html(200))
    found = find(app_with(flagsmith.config), "API")
    assert found["level"] == "failed"
    assert "ends in /api/v1/" in found["advice"]


def test_an_api_that_is_not_running_fails(emulator: Emulator) -> None:
    app = app_with(emulator.config, API_URL="http://127.0.0.1:9/api/v1/")
    found = find(app, "API")
    assert "connection refused. Check FLAGSMITH_API_URL" in found["message"]
    assert "flask flagsmith emulator" in found["advice"]


def test_http_to_another_machine_is_a_warning(emulator: Emulator) -> None:
    # An address of this machine that the check does not count as loopback.
    app = app_with(emulator.config, API_URL="http://127.0.0.2:9/api/v1/")
    assert "every machine on the way can read" in find(app, "TLS")["message"]


def test_an_answer_without_an_epoch_is_a_warning() -> None:
    found = diagnose_answer(Snapshot({}, None, 0.0, "id"), 0.01, 0.0)
    assert found.level == "warning"
    assert "X-Flagsmith-Document-Updated-At" in (found.advice or "")


def test_an_own_api_with_the_hosted_stream_is_a_warning() -> None:
    settings = {"FLAGSMITH_ENVIRONMENT_KEY": "ser.key"}
    assert not list(diagnose_addresses(read_config(settings)))
    settings["FLAGSMITH_API_URL"] = "https://flags.example.com/api/v1/"
    (found,) = diagnose_addresses(read_config(settings))
    assert found.level == "warning"
    assert "flags.example.com and the stream realtime.flagsmith.com" in found.message


def test_a_host_that_does_not_exist_fails(emulator: Emulator) -> None:
    found = find(app_with(emulator.config, API_URL="http://flagsmith.invalid/api/v1/"), "API")
    assert found["level"] == "failed"
    assert "cannot be resolved" in found["message"]


def test_a_stream_whose_host_does_not_exist_is_a_warning(emulator: Emulator) -> None:
    found = findings(app_with(emulator.config, REALTIME_API_URL="http://stream.invalid/"))
    assert [f["check"] for f in found if f["level"] != "ok"] == ["stream"]


def test_a_certificate_of_an_unknown_authority_fails() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with MisbehavingFlagsmith(tls=context) as running:
        found = find(app_with(running.config), "API")
        assert not running.calls
    assert found["level"] == "failed"
    assert "certificate" in found["message"]
    assert "REQUESTS_CA_BUNDLE" in found["advice"]
