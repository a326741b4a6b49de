"""The doctor's checks of TLS certificates."""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import trustme

from flask_flagsmith_realtime.doctor.findings import Level
from flask_flagsmith_realtime.doctor.verdicts import (
    diagnose_certificate,
)
from tests.support.doctor import app_with, find
from tests.support.misbehaving import MisbehavingFlagsmith


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls_flagsmith(authority: trustme.CA, days: int = 90) -> MisbehavingFlagsmith:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    expiry = datetime.now(timezone.utc) + timedelta(days=days, hours=1)
    authority.issue_cert("127.0.0.1", not_after=expiry).configure_cert(context)
    return MisbehavingFlagsmith(tls=context)


def test_a_certificate_of_an_unknown_authority_fails(authority: trustme.CA) -> None:
    with tls_flagsmith(authority) as running:
        found = find(app_with(running.config), "TLS")
        assert not running.calls
    assert found["level"] == "failed"
    assert "certificate" in found["message"]
    assert "REQUESTS_CA_BUNDLE" in found["advice"]


def test_a_certificate_is_good_until_its_date(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "authorities.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with tls_flagsmith(authority) as running:
        assert "certificate valid until" in find(app_with(running.config), "TLS")["message"]
    with tls_flagsmith(authority, days=3) as running:
        found = find(app_with(running.config), "TLS")
    assert found["level"] == "warning"
    assert "expires in 3 days" in found["message"]


def test_a_certificate_is_judged_by_its_days() -> None:
    assert diagnose_certificate("host", 15 * 86400.0, 0.0).level is Level.OK
    assert diagnose_certificate("host", 13 * 86400.0, 0.0).level is Level.WARNING
