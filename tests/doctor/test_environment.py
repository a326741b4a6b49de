"""The settings on Flagsmith that change what an app serves."""

from __future__ import annotations

import json

import pytest

from flask_flagsmith_realtime.doctor.verdicts import diagnose_environment
from flask_flagsmith_realtime.emulator import Emulator
from tests.support.doctor import app_with, find, findings
from tests.support.snapshots import snapshot_of_document


def test_a_hidden_feature_that_is_on_by_default_is_a_warning(emulator: Emulator) -> None:
    document = json.loads(json.dumps(emulator.document))
    document["project"]["hide_disabled_flags"] = True
    with Emulator(document=document) as running:
        settings = {
            **running.config,
            "FLAGSMITH_ENVIRONMENT_KEY": running.client_side_key,
            "FLAGSMITH_DEFAULTS": {"new_checkout": True, "banner_text": True, "gone": False},
        }
        found = find(app_with(settings), "defaults")
        assert found["level"] == "warning"
        assert found["message"].endswith("missing in the answer: new_checkout")
        settings["FLAGSMITH_ENVIRONMENT_KEY"] = running.server_side_key
        assert "defaults" not in [found["check"] for found in findings(app_with(settings))]


@pytest.mark.parametrize(
    ("setting", "check"),
    [
        ("use_identity_overrides_in_local_eval", "overrides"),
        ("use_identity_composite_key_for_hashing", "splits"),
    ],
)
def test_settings_that_change_local_evaluation_are_warnings(
    emulator: Emulator, setting: str, check: str
) -> None:
    document = {**emulator.document, setting: True}
    fine = snapshot_of_document(document, 1.0, 1.0).document
    assert fine is not None
    assert check not in [finding.check for finding in diagnose_environment(fine)]
    with Emulator(document={**document, setting: False}) as running:
        assert find(app_with(running.config), check)["level"] == "warning"
