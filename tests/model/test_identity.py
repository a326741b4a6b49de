"""Identities: what they are made of, and what they are given locally."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import subprocess
import sys
import weakref
from collections import UserDict
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, render_template_string
from markupsafe import Markup
from werkzeug.local import LocalProxy

from flask_flagsmith_realtime import (
    FlagsmithRealtime,
    Identity,
    flags,
    flags_changed,
)
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.model import MOST_IDENTITIES
from tests.support import recorded
from tests.support.apps import MakeApp, Received
from tests.support.offline import BOB, make_offline_app, recorded_document

ALICE = Identity("alice@example.com")
CAROL = Identity("carol@example.com", {"plan": "free"}, transient=True)


class Plan(str, Enum):
    PRO = "pro"


class TestIdentity:
    def test_traits_are_copied(self) -> None:
        traits = {"plan": "pro"}
        identity = Identity("alice", traits)
        traits["plan"] = "free"
        assert dict(identity.traits) == {"plan": "pro"}
        with pytest.raises(TypeError):
            identity.traits["plan"] = "free"  # type: ignore[index]

    @pytest.mark.parametrize("value", ["pro", 37, -1, 1.5, True, False, None, ""])
    def test_takes_what_flagsmith_knows(self, value: Any) -> None:
        taken = Identity("alice", {"trait": value}).traits["trait"]
        assert (type(taken), taken) == (type(value), value)

    def test_takes_any_mapping(self) -> None:
        assert Identity("alice", UserDict(plan="pro")) == Identity("alice", {"plan": "pro"})

    @pytest.mark.parametrize("value", [Plan.PRO, Markup("pro")])
    def test_takes_the_text_in_a_subclass_of_text(self, value: str) -> None:
        identity = Identity(value, {"plan": value})
        assert (type(identity.identifier), identity.identifier) == (str, "pro")
        assert type(identity.traits["plan"]) is str
        assert identity == Identity("pro", {"plan": "pro"})

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ((7,), "identifier is int; give it as text, for example str"),
            ((None,), "identifier is NoneType; give it as text. For an anonymous user, give None"),
            ((LocalProxy(lambda: "alice"),), "identifier is LocalProxy"),
            (("alice", ["plan"]), "traits are list"),
            (("alice", None), "traits are NoneType"),
            (("alice", {"plan": ["pro"]}), "trait 'plan' is list; give text, a number"),
            (("alice", {"born": object()}), "trait 'born' is object"),
            (("alice", {"plan": LocalProxy(lambda: "pro")}), "trait 'plan' is LocalProxy"),
            (("alice", {1: "pro"}), "trait's name is int"),
            (("alice", {}, 1), "transient is int"),
            (("alice", {"plan": {"value": ["pro"]}}), "trait 'plan' is list"),
            (("alice", {"plan": {"value": "pro", "transient": 1}}), "trait 'plan' is dict"),
            (("alice", {"plan": {"transient": True}}), "trait 'plan' is dict; give its value, or"),
            (("alice", {"plan": {"value": 1, "more": 2}}), "trait 'plan' is dict"),
        ],
    )
    def test_refuses_what_flagsmith_does_not_know(
        self, arguments: tuple[Any, ...], words: str
    ) -> None:
        with pytest.raises(TypeError, match=words):
            Identity(*arguments)

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_refuses_numbers_that_are_none(self, value: float) -> None:
        with pytest.raises(ValueError, match=r"trait 'age' is (nan|inf); give a finite number"):
            Identity("alice", {"age": value})

    def test_refuses_an_empty_identifier(self) -> None:
        with pytest.raises(ValueError, match="identifier is blank"):
            Identity("")

    def test_blanks_at_the_ends_are_removed_as_flagsmith_does_it(self) -> None:
        identity = Identity(" alice \n", {" plan\t": " pro ", "a b": 1})
        assert identity == Identity("alice", {"plan": " pro ", "a b": 1})
        assert identity.parts == Identity("alice", {"plan": " pro ", "a b": 1}).parts

    def test_equality_looks_at_everything_but_the_order(self) -> None:
        identity = Identity("alice", {"a": 1, "b": 2})
        same = Identity("alice", {"b": 2, "a": 1})
        assert identity == same
        assert hash(identity) == hash(same)
        others = [
            Identity("bob", {"a": 1, "b": 2}),
            Identity("alice", {"a": 1}),
            Identity("alice", {"a": True, "b": 2}),
            Identity("alice", {"a": 1.0, "b": 2}),
            Identity("alice", {"a": 1, "b": 2}, transient=True),
        ]
        assert len({identity, *others}) == 6
        assert identity != "alice"

    def test_single_traits_may_be_transient(self) -> None:
        identity = Identity(
            "alice",
            {
                "plan": {"value": "pro", "transient": True},
                "age": {"value": 37, "transient": False},
                "city": "Rome",
            },
        )
        assert dict(identity.traits) == {"plan": "pro", "age": 37, "city": "Rome"}
        assert identity.transient_traits == {"plan"}
        assert identity != Identity("alice", identity.traits)
        for copied in (eval(repr(identity)), copy.deepcopy(identity)):
            assert (copied, copied.transient_traits) == (identity, {"plan"})

    def test_cannot_be_changed(self) -> None:
        identity = Identity("alice")
        with pytest.raises(AttributeError, match="cannot be changed"):
            identity.identifier = "bob"  # type: ignore[misc]
        with pytest.raises(AttributeError, match="cannot be changed"):
            del identity.identifier

    def test_can_be_copied_and_pickled(self) -> None:
        assert copy.deepcopy(CAROL) == CAROL
        assert pickle.loads(pickle.dumps(CAROL)) == CAROL

    def test_reads_as_it_is_written(self) -> None:
        assert eval(repr(BOB)) == BOB
        assert eval(repr(CAROL)) == CAROL

    def test_negative_zero_is_zero(self) -> None:
        assert str(Identity("alice", {"x": -0.0}).traits["x"]) == "0.0"


class TestRecordedIdentities:
    """Return the answers of a real server for these three."""

    @pytest.mark.parametrize(
        ("identity", "name"),
        [
            (ALICE, "identity, read"),
            (BOB, "identity with traits"),
            (CAROL, "identity, transient"),
        ],
    )
    def test_is_given_the_same(self, offline_app: Flask, identity: Identity, name: str) -> None:
        answer = recorded.exchange(name)["response"]["body"]["flags"]
        expected = {
            state["feature"]["name"]: (
                state["feature"]["id"],
                state["enabled"],
                state["feature_state_value"],
                state["variant"],
            )
            for state in answer
        }
        with offline_app.app_context():
            given = flags.for_identity(identity).all_flags()
        assert {
            flag.feature_name: (flag.feature_id, flag.enabled, flag.value, flag.variant)
            for flag in given
        } == expected


class TestForIdentity:
    def test_reads_like_flags(self, offline_app: Flask) -> None:
        with offline_app.app_context():
            bobs = flags.for_identity("bob@example.com", {"plan": "pro"})
            assert bobs.is_feature_enabled("beta_dashboard")
            assert bobs.get_feature_value("banner_text") == "Welcome!"
            assert bobs.get_flag("beta_dashboard").reason == "TARGETING_MATCH; segment=beta_users"
            assert bobs.button_colour.variant == "control"
            assert bobs["max_items"].value == 25
            assert "beta_dashboard" in bobs
            assert "nothing" not in bobs
            assert list(bobs) == list(flags)
            assert len(bobs) == len(flags)
            assert {flag.feature_name for flag in bobs.all_flags()} == set(flags)
            assert bobs.epoch == flags.epoch
            assert render_template_string("{{ f.beta_dashboard.enabled }}", f=bobs) == "True"

    def test_leaves_the_environments_flags_alone(self, offline_app: Flask) -> None:
        with offline_app.app_context():
            assert flags.for_identity(BOB)["beta_dashboard"]
            assert not flags["beta_dashboard"]
            assert flags["button_colour"].variant is None

    def test_of_somebody_elses_flags(self, offline_app: Flask) -> None:
        with offline_app.app_context():
            alices = flags.for_identity(BOB).for_identity(ALICE)
            assert alices["banner_text"].value == "Half price today"

    def test_shares_what_is_the_same_for_everybody(self, offline_app: Flask) -> None:
        with offline_app.app_context():
            bobs, dans = flags.for_identity(BOB), flags.for_identity("dan", {"plan": "pro"})
            assert bobs["max_items"] is flags["max_items"]
            assert bobs["beta_dashboard"] is dans["beta_dashboard"]

    def test_segments(self, offline_app: Flask) -> None:
        with offline_app.app_context():
            assert flags.segments == ()
            assert flags.for_identity(ALICE).segments == ("half",)
            assert flags.for_identity(BOB).segments == ("beta_users",)
            assert flags.for_identity("erin", {"plan": "free"}).segments in ((), ("half",))

    def test_types_of_traits_count(self, extension: FlagsmithRealtime, tmp_path: Path) -> None:
        document = recorded_document()
        rule = document["project"]["segments"][0]["rules"][0]["rules"][0]
        rule["conditions"] = [{"operator": "IN", "value": "1,x", "property_": "level"}]
        with make_offline_app(extension, tmp_path, document).app_context():
            given = {
                repr(level): flags.for_identity("dan", {"level": level})["beta_dashboard"].enabled
                for level in (1, 1.0, True, "x", None)
            }
        assert given == {"1": True, "1.0": False, "True": False, "'x'": True, "None": False}

    def test_errors_are_the_callers(self, offline_app: Flask) -> None:
        with offline_app.app_context(), pytest.raises(TypeError, match="identifier is int"):
            flags.for_identity(7)  # type: ignore[arg-type]

    def test_before_anything_is_known(self) -> None:
        app = Flask("shop")
        app.testing = True
        app.config["FLAGSMITH_DEFAULTS"] = {"new_checkout": True}
        FlagsmithRealtime(app)
        with app.app_context():
            bobs = flags.for_identity(BOB)
            assert bobs["new_checkout"]
            assert bobs.segments == ()

    def test_shares_the_requests_snapshot(self, make_app: MakeApp, emulator: Emulator) -> None:
        app = make_app()
        changed = Received(flags_changed, app)
        with app.app_context():
            assert not flags["new_checkout"]
            emulator.override_segment("pro_customers", "new_checkout", enabled=True)
            emulator.set_flag("banner_text", value="New")
            changed.wait_for(lambda content: content["snapshot"].epoch == emulator.epoch)
            pro = flags.for_identity("dan", {"plan": "pro"})
            assert not pro["new_checkout"]
            assert pro["banner_text"].value != "New"
        with app.app_context():
            pro = flags.for_identity("dan", {"plan": "pro"})
            assert pro["new_checkout"]
            assert not flags["new_checkout"]

    def test_keeps_no_more_than_it_says(self, offline_app: Flask) -> None:
        with offline_app.app_context():
            for number in range(MOST_IDENTITIES + 50):
                assert flags.for_identity(f"identity {number}")["banner_text"]
            kept = flags._identities._known.cache_info()  # type: ignore[union-attr]
        assert kept.currsize == MOST_IDENTITIES

    def test_an_old_snapshot_goes_at_once(self, make_app: MakeApp, emulator: Emulator) -> None:
        # With all that was evaluated under it, and without a look for circles.
        app = make_app()
        changed = Received(flags_changed, app)
        with app.app_context():
            assert flags.for_identity(BOB)["beta_dashboard"] is not None
            assert flags.for_identity(BOB).segments is not None
            gone = weakref.ref(flags._snapshot)  # type: ignore[arg-type]
        assert emulator.wait_for_streams(1)
        gc.disable()
        try:
            for value in ("one", "two"):
                emulator.set_flag("banner_text", value=value)
                changed.wait()
                changed.all.clear()
                with app.app_context():
                    assert flags["banner_text"].value == value
            assert gone() is None
        finally:
            gc.enable()


class TestEvaluationThatFails:
    def test_the_environments_serves(
        self, offline_app: Flask, caplog: pytest.LogCaptureFixture
    ) -> None:
        # The SDK takes text of digits for a number, and Python does not take so many.
        identity = Identity("bob@example.com", {"plan": "9" * 5000})
        with offline_app.app_context():
            for _ in range(2):
                bobs = flags.for_identity(identity)
                assert bobs["beta_dashboard"] is flags["beta_dashboard"]
                assert bobs["button_colour"].variant == "control"
                assert bobs.segments == ()
        said = [record.getMessage() for record in caplog.records]
        assert len(said) == 2
        assert "cannot evaluate the feature 'beta_dashboard' for an identity" in said[0]
        assert "cannot evaluate the segments for an identity" in said[1]
        assert all("ValueError" in line for line in said)

    def test_it_is_logged_once_for_all_identities_and_again_after_a_change(
        self, make_app: MakeApp, emulator: Emulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = make_app()
        changed = Received(flags_changed, app)
        assert emulator.wait_for_streams(1)

        def read_for_all() -> None:
            with app.app_context():
                for number in range(20):
                    # The length is in the error's text, and so may be what a trait holds.
                    identity = Identity("bob@example.com", {"plan": "9" * (5000 + number)})
                    assert flags.for_identity(identity)["beta_dashboard"] is not None

        read_for_all()
        read_for_all()
        assert len(caplog.records) == 1
        assert "5000" not in caplog.text
        emulator.set_flag("banner_text", value="one")
        changed.wait()
        read_for_all()
        read_for_all()
        assert len(caplog.records) == 2
        assert "bob@example.com" not in caplog.text


BUCKETS = """
import sys
from flask import Flask
from flask_flagsmith_realtime import FlagsmithRealtime, flags

app = Flask("shop")
app.config["FLAGSMITH_OFFLINE_FILE"] = sys.argv[1]
FlagsmithRealtime(app)
with app.app_context():
    for number in range(200):
        given = flags.for_identity(f"identity {number}", {"plan": "pro", "age": number})
        print(number, given.segments, given["button_colour"], given["banner_text"])
"""


@pytest.mark.slow
def test_buckets_are_the_same_in_every_process(offline_app: Flask) -> None:
    path = os.fspath(offline_app.config["FLAGSMITH_OFFLINE_FILE"])
    outputs = {
        subprocess.run(
            [sys.executable, "-c", BUCKETS, path],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "random")
    }
    assert len(outputs) == 1
    text = outputs.pop()
    colours = {colour: text.count(f"value='{colour}'") for colour in ("red", "blue", "grey")}
    assert sum(colours.values()) == 200
    assert all(colour > 20 for colour in colours.values())
