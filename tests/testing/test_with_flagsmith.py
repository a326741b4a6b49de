"""Overrides over the flags of a running app: signals and identities."""

from __future__ import annotations

from flask_flagsmith_realtime import (
    FlagChange,
    FlagsmithRealtime,
    Identity,
    flags,
    flags_changed,
)
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.testing import override_flags
from tests.support.apps import MakeApp, Received, read_flag


def test_signals_of_overrides_of_features_on_flagsmith(
    make_app: MakeApp, emulator: Emulator
) -> None:
    emulator.set_flag("banner_text", enabled=True, value="before")
    flagsmith = FlagsmithRealtime()
    received: list[FlagChange] = []
    flagsmith.on_change("banner_text", "new_checkout")(received.append)
    app = make_app(flagsmith)
    before = read_flag(app, "banner_text")
    with override_flags(app, signals=True, banner_text="before"):
        assert not received, "it had that value before"
    with override_flags(app, signals=True, banner_text=False):
        (change,) = received
        assert change.before == before
        assert change.after is not None
        assert (change.after.enabled, change.after.value) == (False, "before")
        assert change.after.feature_id == before.feature_id


def test_overrides_hold_for_identities_over_their_own_overrides(
    make_app: MakeApp, emulator: Emulator
) -> None:
    emulator.set_flag("banner_text", enabled=True, value="for all")
    emulator.override_identity("ada", "banner_text", enabled=True, value="for ada")
    flagsmith = FlagsmithRealtime()
    app = make_app(flagsmith)
    with override_flags(app, {"banner_text": False, "my-flag": 7}), app.app_context():
        ada = flags.for_identity("ada")
        assert (ada["banner_text"].enabled, ada["banner_text"].value) == (False, "for ada")
        assert ada["my-flag"].value == 7
        bob = ada.for_identity("bob", {"plan": "pro"})
        assert (bob["banner_text"].enabled, bob["banner_text"].value) == (False, "for all")
        with override_flags(app, banner_text="Hi"):
            assert flags.for_identity("ada")["banner_text"].value == "Hi"
    flagsmith.identity_loader(lambda: Identity("ada"))
    with app.app_context():
        assert flags["banner_text"].value == "for ada"
        with override_flags(app, banner_text=False):
            assert (flags["banner_text"].enabled, flags["banner_text"].value) == (False, "for ada")


def test_overrides_hold_in_remote_evaluation(make_app: MakeApp, emulator: Emulator) -> None:
    emulator.set_flag("banner_text", enabled=True, value="for all")
    emulator.override_identity("ada", "banner_text", enabled=True, value="for ada")
    app = make_app(ENVIRONMENT_KEY=emulator.client_side_key)
    with override_flags(app, banner_text=False), app.app_context():
        assert flags["banner_text"].value == "for all"
        ada = flags.for_identity("ada")
        assert (ada["banner_text"].enabled, ada["banner_text"].value) == (False, "for ada")


def test_override_of_a_running_app_follows_flagsmith_below(
    make_app: MakeApp, emulator: Emulator
) -> None:
    app = make_app()
    changed = Received(flags_changed, app)
    assert emulator.wait_for_streams(1)
    with override_flags(app, banner_text=False):
        emulator.set_flag("banner_text", enabled=True, value="new")
        changed.wait()
        assert read_flag(app, "banner_text").value == "new"
        assert not read_flag(app, "banner_text")
