"""Local evaluation gives the answers of a real Flagsmith server, also where the SDK does not."""

from __future__ import annotations

import itertools
import json
import logging
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from flask_flagsmith_realtime import Flag, Identity
from flask_flagsmith_realtime.identities.local import IdentityFlags, LocalIdentities
from flask_flagsmith_realtime.logs import OncePerCause, SafeLogger
from flask_flagsmith_realtime.model.evaluation import Evaluation
from tests.support import recorded
from tests.support.paths import RECORDINGS
from tests.support.snapshots import snapshot_of_document
from tests.support.turns import others_run_during
from tests.support.waiting import PATIENCE_SECONDS, eventually

# The SDK compares versions with text, in a way that its library for versions will give up.
pytestmark = pytest.mark.filterwarnings("ignore:.*comparisons between Version.*:DeprecationWarning")

Document = dict[str, Any]
REASON = "TARGETING_MATCH; segment=identity_overrides"


def identities_of(document: Document) -> LocalIdentities:
    failures = OncePerCause(SafeLogger(logging.getLogger(__name__)), "evaluation", "")
    return LocalIdentities(snapshot_of_document(document, 5.0, 7.0), failures)


def flags_of(document: Document, identifier: str, **traits: Any) -> IdentityFlags:
    return identities_of(document).flags_of(Identity(identifier, traits))


def test_all_recorded_answers_of_the_server_agree() -> None:
    recording = json.loads((RECORDINGS / "evaluation-2.265.json").read_text())
    snapshot = snapshot_of_document(recording["document"], 5.0, 7.0)
    identities = identities_of(recording["document"])
    answers: list[tuple[Mapping[str, Flag], Any]] = [(snapshot.flags, recording["environment"])]
    answers += [
        (identities.flags_of(Identity(asked["identifier"], asked["traits"])), asked["flags"])
        for asked in recording["identities"]
    ]
    compared = 0
    for flags, wanted in answers:
        assert list(flags) == list(wanted)
        for name, (enabled, value) in wanted.items():
            flag = flags[name]
            assert (flag.enabled, type(flag.value), flag.value) == (enabled, type(value), value)
            compared += 1
    assert compared == 13_674


# Overrides of identities.


def state_of(document: Document, name: str) -> Document:
    found: Document = next(s for s in document["feature_states"] if s["feature"]["name"] == name)
    return found


def override(document: Document, identifier: str, name: str, **members: Any) -> None:
    """Add an override for an identity."""
    state = {**state_of(document, name), "django_id": 900, **members}
    document["identity_overrides"].append({"identifier": identifier, "identity_features": [state]})


@pytest.fixture
def document() -> Document:
    return recorded.environment_document()


def test_identifiers_are_compared_as_text(document: Document) -> None:
    identifiers = ["007", "7", "07", "1.5", "1.50", "1e3", "1000", "true", "True", "0", "", "é"]
    for identifier in identifiers:
        override(document, identifier, "banner_text", feature_state_value=f"for {identifier}")
    for identifier in identifiers:
        if identifier:
            flag = flags_of(document, identifier)["banner_text"]
            assert (flag.value, flag.reason) == (f"for {identifier}", REASON)
    assert flags_of(document, "0007")["banner_text"].value == "Welcome!"


def test_equal_values_of_different_identities_keep_their_types(document: Document) -> None:
    values = [-1, -2, "", 0, False, 1, True, 1.0, None, "1"]
    for number, value in enumerate(values):
        override(document, f"user {number}", "banner_text", feature_state_value=value)
    identities = identities_of(document)
    for number, value in enumerate(values):
        flag = identities.flags_of(Identity(f"user {number}"))["banner_text"]
        assert (type(flag.value), flag.value) == (type(value), value)


def variants(*shares: tuple[str, float, str | None]) -> list[Document]:
    return [
        {
            "id": number,
            "percentage_allocation": share,
            "multivariate_feature_option": {"value": value, "key": key},
        }
        for number, (value, share, key) in enumerate(shares, 1)
    ]


def test_an_override_picks_a_variant(document: Document) -> None:
    shares = variants(("red", 0.0, None), ("blue", 100.0, "second"))
    override(document, "dora", "button_colour", multivariate_feature_state_values=shares)
    flag = flags_of(document, "dora")["button_colour"]
    assert flag == Flag("button_colour", True, "blue", 4, "second")
    assert flag.reason == REASON


def test_an_override_without_a_variant_has_the_control(document: Document) -> None:
    members = {"feature_state_value": "own", "multivariate_feature_state_values": []}
    override(document, "dora", "button_colour", enabled=False, **members)
    flag = flags_of(document, "dora")["button_colour"]
    assert flag == Flag("button_colour", False, "own", 4, "control")


def test_an_override_of_a_segment_has_the_control_of_a_multivariate_feature(
    document: Document,
) -> None:
    segment = document["project"]["segments"][0]
    segment["feature_states"].append(
        {
            **state_of(document, "button_colour"),
            "feature_state_value": "gold",
            "feature_segment": {"priority": 0},
            "multivariate_feature_state_values": [],
        }
    )
    flag = flags_of(document, "bob", plan="pro")["button_colour"]
    assert flag == Flag("button_colour", True, "gold", 4, "control")
    assert flag.reason == "TARGETING_MATCH; segment=beta_users"


def test_an_override_wins_over_all_segments(document: Document) -> None:
    override(document, "bob", "beta_dashboard", enabled=False, feature_state_value="none")
    flags = flags_of(document, "bob", plan="pro")
    assert flags["beta_dashboard"] == Flag("beta_dashboard", False, "none", 5)
    assert "beta_users" in flags.segments
    assert "identity_overrides" not in flags.segments


def test_an_override_of_a_feature_that_is_gone_is_ignored(document: Document) -> None:
    override(document, "bob", "banner_text")
    document["identity_overrides"][-1]["identity_features"][0]["feature"] = {"id": 99, "name": "x"}
    flags = flags_of(document, "bob")
    assert "x" not in flags
    assert flags.get("x") is None
    assert list(flags) == [state["feature"]["name"] for state in document["feature_states"]]


def test_a_malformed_override_is_logged_once_and_the_environment_serves(
    document: Document, caplog: pytest.LogCaptureFixture
) -> None:
    for identifier in ("bob", "carol"):
        document["identity_overrides"].append(
            {"identifier": identifier, "identity_features": [{"enabled": "yes"}]}
        )
    identities = identities_of(document)
    for identifier in ("bob", "carol"):
        flags = identities.flags_of(Identity(identifier, {"plan": "pro"}))
        assert flags["banner_text"].value in ("Welcome!", "Half price today")
        assert flags["beta_dashboard"].enabled
    (record,) = caplog.records
    assert "cannot evaluate the overrides for an identity: $[0]" in record.getMessage()


def depending_on_flags(document: Document) -> Document:
    condition = {"property_": "$.flags.max_items.value", "operator": "EQUAL", "value": "9"}
    rule = {"type": "ALL", "rules": [], "conditions": [condition]}
    banner = {**state_of(document, "banner_text"), "feature_state_value": "Nine"}
    segment = {"id": 70, "name": "nine", "rules": [rule], "feature_states": [banner]}
    document["project"]["segments"] = [segment]
    return document


def test_a_condition_on_a_flag_sees_the_override_of_an_identity(document: Document) -> None:
    override(document, "bob", "max_items", feature_state_value=9)
    identities = identities_of(depending_on_flags(document))
    bobs = identities.flags_of(Identity("bob"))
    assert bobs.segments == ("nine",)
    assert bobs["banner_text"].value == "Nine"
    assert bobs["max_items"] == Flag("max_items", True, 9, 3)
    assert identities.flags_of(Identity("carol"))["banner_text"].value == "Welcome!"


# Conditions that cannot be evaluated, and regular expressions that take long.


def with_condition(document: Document, **condition: Any) -> Document:
    rule = {"type": "ALL", "rules": [], "conditions": [{"property_": "code", **condition}]}
    document["project"]["segments"][0]["rules"] = [rule]
    return document


@pytest.mark.parametrize(
    "condition",
    [
        {"operator": "MODULO", "value": "0|1"},
        {"operator": "MODULO", "value": 5},
        {"operator": "IN", "value": "[" * 100_000},
        {"operator": "IN", "value": None},
        {"operator": "PERCENTAGE_SPLIT", "value": None},
        {"operator": "EQUAL", "value": 10**400},
        {"operator": "EQUAL", "value": "x", "property_": "$.identity.traits[?nothing(@)]"},
    ],
)
def test_a_condition_that_the_engine_raises_for_affects_the_features_of_its_segment(
    document: Document, caplog: pytest.LogCaptureFixture, condition: Document
) -> None:
    flags = flags_of(with_condition(document, **condition), "bob", code=1.5, plan="pro")
    assert flags["beta_dashboard"] == Flag("beta_dashboard", False, None, 5)
    assert flags["button_colour"].variant == "control"
    assert flags.segments == ()
    assert caplog.text.count("cannot evaluate the feature 'beta_dashboard' for an identity") == 1


def test_a_catastrophic_pattern_stops_nothing(
    document: Document, caplog: pytest.LogCaptureFixture
) -> None:
    identities = identities_of(with_condition(document, operator="REGEX", value="^(a|a)*$"))
    numbers = itertools.count()

    def evaluate() -> None:
        flags = identities.flags_of(Identity(f"bob {next(numbers)}", {"code": "a" * 40 + "!"}))
        assert flags["beta_dashboard"] == Flag("beta_dashboard", False, None, 5)

    eventually(lambda: others_run_during(evaluate))
    assert "the feature 'beta_dashboard' for an identity: TimeoutError" in caplog.text
    assert identities.flags_of(Identity("bob", {"code": "aaa"}))["beta_dashboard"].enabled
    assert not identities.flags_of(Identity("bob", {"code": "aab"}))["beta_dashboard"].enabled


# Threads.


class Slow(dict[str, Flag]):
    """Flags whose reader waits until it may go on."""

    is_read = threading.Event()
    goes_on = threading.Event()

    def items(self) -> Any:
        self.is_read.set()
        self.goes_on.wait(2 * PATIENCE_SECONDS)
        return super().items()


@pytest.fixture
def waiting_thread(document: Document) -> Iterator[None]:
    """A thread that is about to derive what an evaluation keeps."""
    snapshot = snapshot_of_document(document, 5.0, 7.0)
    assert snapshot.document is not None
    evaluation = Evaluation(snapshot.document, Slow(snapshot.flags))
    thread = threading.Thread(target=lambda: evaluation.untargeted)
    thread.start()
    assert Slow.is_read.wait(PATIENCE_SECONDS)
    yield
    Slow.goes_on.set()
    thread.join(PATIENCE_SECONDS)


@pytest.mark.usefixtures("waiting_thread")
def test_no_thread_waits_for_another_one_that_evaluates(document: Document) -> None:
    """A forked child would wait forever: that thread is not there."""
    done = threading.Event()

    def read() -> None:
        flags_of(document, "bob")["banner_text"]
        done.set()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    assert done.wait(PATIENCE_SECONDS)
