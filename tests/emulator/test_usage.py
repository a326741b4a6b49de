"""Usage analytics and events: what apps report, and what the emulator shows of it."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests
from flagsmith import Flagsmith
from flagsmith.analytics import EventProcessorConfig

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.waiting import PATIENCE_SECONDS, eventually

JSON = {"Content-Type": "application/json"}


def report(emulator: Emulator, body: Any, version: int = 1) -> requests.Response:
    return requests.post(
        f"{emulator.url}api/v{version}/analytics/flags/",
        json=body,
        headers={"X-Environment-Key": emulator.client_side_key},
        timeout=PATIENCE_SECONDS,
    )


def send(emulator: Emulator, *events: Any, key: str | None = None) -> requests.Response:
    return requests.post(
        f"{emulator.events_api_url}v1/events",
        json={"events": list(events)},
        headers={"X-Environment-Key": emulator.server_side_key if key is None else key},
        timeout=PATIENCE_SECONDS,
    )


def event(name: str = "purchase", **members: Any) -> dict[str, Any]:
    return {"event": name, "timestamp": int(time.time() * 1000), **members}


class TestAnalytics:
    def test_evaluations_are_counted_by_feature(self, emulator: Emulator) -> None:
        report(emulator, {"banner_text": 3, "pricing": 1})
        report(emulator, {"banner_text": 2})

        assert emulator.analytics == {"banner_text": 5, "pricing": 1}
        assert emulator.calls["analytics/flags/"] == 2

    def test_what_cannot_be_counted_is_ignored(self, emulator: Emulator) -> None:
        counts = {"nope": 3, "pricing": "x", "banner_text": -1, "new_checkout": 1.5}
        response = report(emulator, counts | {"free_delivery": True, "button_colour": 2})

        assert response.status_code == 200
        assert emulator.analytics == {"button_colour": 2}

    def test_version_two(self, emulator: Emulator) -> None:
        evaluation = {"enabled_when_evaluated": True, "identity_identifier": "ada"}
        counts = [("banner_text", 2), ("nope", 1), ("banner_text", "3")]
        body = [evaluation | {"feature_name": name, "count": count} for name, count in counts]

        assert report(emulator, {"evaluations": body}, version=2).status_code == 204
        assert emulator.analytics == {"banner_text": 5}

    @pytest.mark.parametrize(
        ("body", "errors"),
        [
            ({}, {"evaluations": ["This field is required."]}),
            (
                {"evaluations": [{"feature_name": "a"}]},
                {"evaluations": [{"count": ["This field is required."]}]},
            ),
            (
                {"evaluations": [{"feature_name": "a", "count": "x"}]},
                {"evaluations": [{"count": ["A valid integer is required."]}]},
            ),
        ],
    )
    def test_version_two_refuses(
        self, emulator: Emulator, body: Any, errors: dict[str, Any]
    ) -> None:
        response = report(emulator, body, version=2)

        assert (response.status_code, response.json()) == (400, errors)

    def test_the_page_shows_it(self, emulator: Emulator) -> None:
        before = requests.get(emulator.url + "version", timeout=PATIENCE_SECONDS).text
        report(emulator, {"banner_text": 1234})

        assert "1234" in requests.get(emulator.url, timeout=PATIENCE_SECONDS).text
        assert requests.get(emulator.url + "version", timeout=PATIENCE_SECONDS).text != before


class TestEvents:
    def test_events_are_kept(self, emulator: Emulator) -> None:
        first = event(value="9.5", identifier="ada", traits={"plan": "pro"}, metadata={"a": 1})
        response = send(emulator, first, event("signup"))

        assert response.status_code == 202
        assert response.json() == {"accepted": 2, "rejected": []}
        assert emulator.events[0] == first | {"feature_name": None}
        assert [kept["event"] for kept in emulator.events] == ["purchase", "signup"]
        assert emulator.calls["v1/events"] == 1

    def test_what_is_returned_is_a_copy(self, emulator: Emulator) -> None:
        send(emulator, event(traits={}))
        emulator.events[0]["traits"]["plan"] = "pro"

        assert emulator.events[0]["traits"] == {}

    def test_an_invalid_event_leaves_the_others(self, emulator: Emulator) -> None:
        response = send(emulator, event(), {"event": "purchase", "timestamp": 1}, event("signup"))

        assert response.status_code == 202
        assert response.json() == {
            "accepted": 2,
            "rejected": [
                {
                    "index": 1,
                    "error": "events[1].timestamp must be an epoch-millis value after 2020-01-01",
                }
            ],
        }
        assert len(emulator.events) == 2

    @pytest.mark.parametrize(
        ("invalid", "error"),
        [
            ({"event": " "}, "event must be non-empty"),
            ({"event": "x" * 257}, "event must be at most 256 characters"),
            ({"event": "$made_up"}, 'event "$made_up" uses the reserved `$` prefix'),
            ({"event": "$flag_exposure"}, "feature_name is required for $flag_exposure events"),
            ({"feature_name": "x" * 2001}, "feature_name must be at most 2000 characters"),
            ({"identifier": "x" * 2001}, "identifier must be at most 2000 characters"),
            ({"timestamp": 2**60}, "timestamp must not be more than 24h in the future"),
            ({"value": "x" * 131_071}, "value must serialize to at most 131072 bytes"),
            ({"traits": {"a": ["x" * 32_768]}}, "traits must serialize to at most 32768 bytes"),
            ({"traits": [1]}, "traits must be a JSON object"),
            ({"traits": {"k" * 201: 1}}, "trait keys must be at most 200 characters"),
            ({"traits": {"k": "x" * 2001}}, 'traits["k"] string values must be at most 2000'),
            ({"metadata": "x" * 8_191}, "metadata must serialize to at most 8192 bytes"),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_an_invalid_event_is_refused(
        self, emulator: Emulator, invalid: dict[str, Any], error: str
    ) -> None:
        response = send(emulator, event() | invalid)

        assert response.status_code == 400
        assert response.json()["accepted"] == 0
        assert response.json()["rejected"][0]["error"].startswith(f"events[0].{error}")
        assert emulator.events == []

    @pytest.mark.parametrize(
        "valid",
        [
            {"event": "x" * 256},
            {"value": "x" * 131_070},
            {"value": {"any": ["thing"]}},
            {"metadata": "x" * 8_190},
            {"traits": {"k" * 200: "x" * 2000}},
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_the_limits_are_allowed(self, emulator: Emulator, valid: dict[str, Any]) -> None:
        assert send(emulator, event() | valid).status_code == 202

    def test_an_empty_batch(self, emulator: Emulator) -> None:
        response = send(emulator)

        assert response.status_code == 400
        assert response.json() == {
            "accepted": 0,
            "rejected": [],
            "error": "events must be non-empty",
        }

    @pytest.mark.parametrize(
        ("body", "headers", "status"),
        [
            (b"{}", {}, 415),
            (b"{", JSON, 400),
            (b"[]", JSON, 422),
            (b'{"events": 5}', JSON, 422),
            (b'{"events": [5]}', JSON, 422),
            (b'{"events": [{"event": 5}]}', JSON, 422),
            (b'{"events": [{"timestamp": true}]}', JSON, 422),
            (b'{"events": [{"identifier": 5}]}', JSON, 422),
            (b" " * (2 * 1024 * 1024 + 1), JSON, 413),
        ],
    )
    def test_what_is_not_a_batch(
        self, emulator: Emulator, body: bytes, headers: dict[str, str], status: int
    ) -> None:
        response = requests.post(
            emulator.url + "v1/events",
            data=body,
            headers=headers | {"X-Environment-Key": emulator.client_side_key},
            timeout=PATIENCE_SECONDS,
        )

        assert response.status_code == status
        assert response.headers["Content-Type"].startswith("text/plain")

    @pytest.mark.parametrize(("key", "status"), [("", 401), ("nope", 403)])
    def test_a_key_is_needed(self, emulator: Emulator, key: str, status: int) -> None:
        assert send(emulator, event(), key=key).status_code == status
        assert emulator.events == []

    def test_the_page_shows_exposures_by_variant(self, emulator: Emulator) -> None:
        exposure = event("$flag_exposure", feature_name="button_colour", identifier="ada")
        send(emulator, exposure | {"value": "calm"}, exposure | {"value": "bold"}, event("signup"))
        page = requests.get(emulator.url, timeout=PATIENCE_SECONDS).text

        for shown in ("saw button_colour", "calm", "bold", "signup"):
            assert shown in page


class TestExperiment:
    """A running experiment: its metadata on flags, seen by the official SDK."""

    def test_an_identity_in_it(self, emulator: Emulator) -> None:
        before = emulator.epoch
        epoch = emulator.set_experiment("button_colour", "Colours", {"teal": 100})
        flag = identity_flag(emulator, "ada", "button_colour")

        assert epoch > before
        assert flag["feature_state_value"] == "teal"
        assert flag["variant"] == "calm"
        assert flag["metadata"] == {
            "experiment": {"id": 1, "name": "Colours", "in_experiment": True}
        }

    def test_an_identity_outside_of_it(self, emulator: Emulator) -> None:
        emulator.set_experiment("button_colour", "Colours", {"teal": 100}, rollout=0)
        flag = identity_flag(emulator, "ada", "button_colour")

        assert flag["metadata"]["experiment"]["in_experiment"] is False

    def test_an_override_is_not_part_of_it(self, emulator: Emulator) -> None:
        emulator.set_experiment("button_colour", "Colours", {"teal": 100})
        emulator.override_identity("ada", "button_colour", value="mine")

        assert "metadata" not in identity_flag(emulator, "ada", "button_colour")

    def test_other_features_and_the_environments_flags_have_none(self, emulator: Emulator) -> None:
        emulator.set_experiment("button_colour", "Colours", {"teal": 100})
        flags = requests.get(
            emulator.api_url + "flags/",
            headers={"X-Environment-Key": emulator.client_side_key},
            timeout=PATIENCE_SECONDS,
        )

        assert "metadata" not in flags.text
        assert "metadata" not in identity_flag(emulator, "ada", "banner_text")

    def test_the_document_carries_it(self, emulator: Emulator) -> None:
        emulator.set_experiment("button_colour", "Colours", {"teal": 100})
        emulator.override_segment("pro_customers", "button_colour", value="gold")
        document = requests.get(
            emulator.api_url + "environment-document/",
            headers={"X-Environment-Key": emulator.server_side_key},
            timeout=PATIENCE_SECONDS,
        ).json()
        states = [state for s in document["project"]["segments"] for state in s["feature_states"]]
        carried = [
            state["metadata"]["experiment"]["in_experiment"]
            for state in [*document["feature_states"], *states]
            if state["feature"]["name"] == "button_colour"
        ]

        assert sorted(carried) == [False, False, True]

    def test_it_changes_and_ends(self, emulator: Emulator) -> None:
        emulator.set_experiment("button_colour", "Colours", {"teal": 100})
        emulator.set_experiment("button_colour", "More colours", {"crimson": 100})
        flag = identity_flag(emulator, "ada", "button_colour")
        assert flag["feature_state_value"] == "crimson"
        assert flag["metadata"]["experiment"]["name"] == "More colours"

        emulator.end_experiment("button_colour")
        assert "metadata" not in str(emulator.document)
        assert identity_flag(emulator, "ada", "button_colour")["feature_state_value"] != "crimson"

    def test_the_official_sdk_reports_an_exposure(self, emulator: Emulator) -> None:
        emulator.set_experiment("button_colour", "Colours", {"teal": 100})
        sdk = Flagsmith(
            environment_key=emulator.client_side_key,
            api_url=emulator.api_url,
            request_timeout_seconds=PATIENCE_SECONDS,
            enable_events=True,
            event_processor_config=EventProcessorConfig(
                events_api_url=emulator.events_api_url,
                max_buffer_items=2,  # then it sends them, and not before
                flush_interval_seconds=3600,
            ),
        )
        try:
            flag = sdk.get_experiment_flag("button_colour", "ada")
            sdk.track_event("purchase", "ada", value=9.5)
        finally:
            sdk._event_processor.stop()
        assert flag.experiment.in_experiment
        eventually(lambda: len(emulator.events) == 2)
        exposure, purchase = emulator.events
        assert exposure["event"] == "$flag_exposure"
        assert exposure["value"] == "calm"
        assert exposure["metadata"]["experiment_id"] == 1
        assert purchase["value"] == "9.5"


def identity_flag(emulator: Emulator, identifier: str, feature: str) -> dict[str, Any]:
    answer = requests.get(
        emulator.api_url + "identities/",
        params={"identifier": identifier},
        headers={"X-Environment-Key": emulator.client_side_key},
        timeout=PATIENCE_SECONDS,
    ).json()
    flags: list[dict[str, Any]] = answer["flags"]
    return next(flag for flag in flags if flag["feature"]["name"] == feature)
