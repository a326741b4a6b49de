"""The OpenFeature provider, through the OpenFeature SDK.

The classes are sections of the OpenFeature specification; a test names the requirement it proves.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from flask import Flask
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagEvaluationDetails
from openfeature.provider import ProviderStatus
from openfeature.track import TrackingEventDetails

from flask_flagsmith_realtime import FlagsmithRealtime, Identity, flags
from flask_flagsmith_realtime.app_state import state_of
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.integrations.openfeature import EXPOSURE, FlagsmithRealtimeProvider
from tests.support.apps import MakeApp
from tests.support.waiting import PATIENCE_SECONDS, eventually


class Shop:
    """An app whose flags are read by the OpenFeature SDK."""

    def __init__(self, make_app: MakeApp, **settings: Any) -> None:
        options = {name: settings.pop(name) for name in list(settings) if name.islower()}
        self.flagsmith = FlagsmithRealtime()
        self.app = make_app(self.flagsmith, **settings)
        self.provider = FlagsmithRealtimeProvider(self.flagsmith, self.app, **options)
        api.set_provider(self.provider)
        self.client: OpenFeatureClient = api.get_client()
        # Newer versions of the SDK initialize the provider in a thread. Where Flagsmith fails, the
        # provider may have an error by now.
        eventually(lambda: self.client.get_provider_status() != ProviderStatus.NOT_READY)

    def banner_elsewhere(self) -> Any:
        """The newest banner, which a context of its own reads."""
        with Flask("elsewhere").app_context():
            return state_of(self.app).flags().get_feature_value("banner_text")


@pytest.fixture(autouse=True)
def no_provider_is_left() -> Iterator[None]:
    yield
    api.shutdown()
    api.clear_providers()
    api.clear_hooks()


@pytest.fixture
def shop(make_app: MakeApp, emulator: Emulator) -> Shop:
    emulator.set_flag("banner_text", enabled=True, value="Hello")
    emulator.set_flag("count", enabled=True, value=7)
    emulator.set_flag("ratio", enabled=True, value="0.5")
    emulator.set_flag("bool", enabled=True, value=True)
    emulator.set_flag("prices", enabled=True, value='{"mug": 14}')
    emulator.set_flag("off", enabled=False, value="x")
    return Shop(make_app, DEFAULTS={"configured": "yes"})


class Events:
    """The events of one kind so far."""

    def __init__(self, client: OpenFeatureClient, event: ProviderEvent) -> None:
        self.all: list[EventDetails] = []
        self._came = threading.Condition()
        client.add_handler(event, self._receive)

    def _receive(self, details: EventDetails) -> None:
        with self._came:
            self.all.append(details)
            self._came.notify_all()

    def wait(self, count: int) -> EventDetails:
        with self._came:
            assert self._came.wait_for(lambda: len(self.all) >= count, PATIENCE_SECONDS)
            return self.all[count - 1]


class TestMetadata:
    def test_2_1_1_the_provider_has_a_name(self, shop: Shop) -> None:
        assert shop.client.get_metadata().name is None
        assert shop.provider.get_metadata().name == "Flagsmith"


class TestFlagValueResolution:
    @pytest.mark.parametrize(
        ("kind", "name", "default", "value"),
        [
            ("boolean", "banner_text", False, True),
            ("boolean", "off", True, False),
            ("string", "banner_text", "", "Hello"),
            ("integer", "count", 0, 7),
            ("float", "ratio", 0.0, 0.5),
            ("float", "count", 0.0, 7.0),
            ("object", "prices", {}, {"mug": 14}),
        ],
    )
    def test_2_2_1_to_2_2_3_typed_values(
        self, shop: Shop, kind: str, name: str, default: Any, value: Any
    ) -> None:
        found = details(shop, kind, name, default)
        assert (found.value, type(found.value)) == (value, type(value))
        # 2.2.6: no error in the normal case.
        assert (found.error_code, found.error_message) == (None, None)

    def test_2_2_4_variant_and_2_2_5_reason(self, shop: Shop, emulator: Emulator) -> None:
        emulator.set_variants("banner_text", {"Hi": 0})
        # It gives the variants their keys.
        emulator.set_experiment("banner_text", "greetings", {"Hi": 100})
        eventually(lambda: split(shop).reason == "SPLIT")
        found = split(shop)
        assert (found.value, found.variant) == ("Hi", "Hi")
        assert found.flag_metadata["experiment.arm"] == "Hi"

    @pytest.mark.parametrize(
        ("name", "reason"),
        [("banner_text", "STATIC"), ("off", "DISABLED"), ("nope", "ERROR")],
    )
    def test_2_2_5_reasons(self, shop: Shop, name: str, reason: str) -> None:
        assert details(shop, "boolean", name, False).reason == reason

    def test_2_2_5_targeting(self, shop: Shop, emulator: Emulator) -> None:
        emulator.override_identity("ada", "off", enabled=True)
        context = EvaluationContext("ada")
        eventually(lambda: shop.client.get_boolean_value("off", False, context))
        found = shop.client.get_boolean_details("off", False, context)
        assert found.reason == "TARGETING_MATCH"
        assert "TARGETING_MATCH; segment=" in str(found.flag_metadata["reason"])

    @pytest.mark.parametrize(
        ("kind", "name", "default", "code"),
        [
            ("string", "count", "d", ErrorCode.TYPE_MISMATCH),
            ("integer", "banner_text", 1, ErrorCode.TYPE_MISMATCH),
            ("integer", "bool", 1, ErrorCode.TYPE_MISMATCH),
            ("float", "banner_text", 1.0, ErrorCode.TYPE_MISMATCH),
            ("object", "count", {}, ErrorCode.TYPE_MISMATCH),
            ("object", "ratio", {}, ErrorCode.TYPE_MISMATCH),
            ("object", "banner_text", {}, ErrorCode.PARSE_ERROR),
            ("boolean", "nope", True, ErrorCode.FLAG_NOT_FOUND),
            ("string", "configured", "d", ErrorCode.FLAG_NOT_FOUND),
            ("string", "off", "d", ErrorCode.GENERAL),
        ],
    )
    def test_2_2_7_errors_have_a_code_and_give_the_default(
        self, shop: Shop, kind: str, name: str, default: Any, code: ErrorCode
    ) -> None:
        found = details(shop, kind, name, default)
        assert (found.value, found.error_code, found.reason) == (default, code, "ERROR")
        assert found.error_message

    def test_2_2_9_and_2_2_10_metadata_is_of_plain_values(self, shop: Shop) -> None:
        found = details(shop, "boolean", "banner_text", False).flag_metadata
        assert found["enabled"] is True
        assert isinstance(found["featureId"], int)

    def test_strict_apps_get_the_default_as_well(self, make_app: MakeApp) -> None:
        found = details(Shop(make_app, STRICT=True), "boolean", "nope", True)
        assert (found.value, found.error_code) == (True, ErrorCode.FLAG_NOT_FOUND)


class TestOptions:
    """The options of Flagsmith's own provider."""

    def test_boolean_values(self, shop: Shop, make_app: MakeApp) -> None:
        other = Shop(make_app, use_boolean_config_value=True)
        assert details(other, "boolean", "bool", False).value is True
        assert details(other, "boolean", "count", False).error_code == ErrorCode.TYPE_MISMATCH

    def test_values_of_features_that_are_off(self, shop: Shop, make_app: MakeApp) -> None:
        other = Shop(make_app, return_value_for_disabled_flags=True)
        found = details(other, "string", "off", "")
        assert (found.value, found.reason) == ("x", "DISABLED")

    def test_defaults_of_the_settings(self, make_app: MakeApp) -> None:
        other = Shop(make_app, DEFAULTS={"configured": "yes"}, use_flagsmith_defaults=True)
        found = details(other, "string", "configured", "")
        assert (found.value, found.reason) == ("yes", "DEFAULT")
        assert details(other, "string", "nope", "").error_code == ErrorCode.FLAG_NOT_FOUND

    def test_other_things_than_an_extension_are_refused(self, shop: Shop) -> None:
        with pytest.raises(TypeError, match="not Flask and FlagsmithRealtime"):
            FlagsmithRealtimeProvider(shop.app, shop.flagsmith)  # type: ignore[arg-type]


class TestEvaluationContext:
    """3.1 and 3.2: the targeting key and the attributes are the identity and its traits."""

    def test_attributes_become_traits(self, shop: Shop, emulator: Emulator) -> None:
        rule = [condition("plan", "pro"), condition("year", "2026-01-01T00:00:00+00:00")]
        emulator.set_segment("pros", rule, {"off": {"enabled": True, "value": "for pros"}})
        attributes = {
            "plan": "pro",
            "traits": {"year": datetime(2026, 1, 1, tzinfo=timezone.utc), "tags": ["a"]},
            "transient": True,
        }
        context = EvaluationContext("ada", attributes)
        eventually(lambda: shop.client.get_string_value("off", "", context) == "for pros")
        # Without a targeting key they belong to no identity.
        assert shop.client.get_string_value("off", "", EvaluationContext(None, attributes)) == ""

    def test_without_a_key_the_identity_loader_decides(
        self, shop: Shop, emulator: Emulator
    ) -> None:
        emulator.override_identity("ada", "off", enabled=True)
        shop.flagsmith.identity_loader(lambda: Identity("ada"))

        def read() -> bool:
            with shop.app.app_context():
                assert shop.client.get_boolean_value("off", False) == bool(flags["off"])
                assert not shop.client.get_boolean_value("off", False, EvaluationContext("bob"))
                return bool(flags["off"])

        eventually(read)
        assert not shop.client.get_boolean_value("off", False)

    def test_wrong_attribute_is_named(self, shop: Shop) -> None:
        context = EvaluationContext("ada", {"plan": object()})  # type: ignore[dict-item]
        found = shop.client.get_boolean_details("off", False, context)
        assert found.error_code == ErrorCode.INVALID_CONTEXT
        assert "The trait 'plan' is object" in str(found.error_message)

    def test_a_request_sees_one_state(self, shop: Shop, emulator: Emulator) -> None:
        with shop.app.app_context():
            before = shop.client.get_string_value("banner_text", "")
            emulator.set_flag("banner_text", value="new")
            eventually(lambda: shop.banner_elsewhere() == "new")
            assert shop.client.get_string_value("banner_text", "") == before == "Hello"


class TestLifecycleAndEvents:
    def test_2_4_ready_after_initialization_and_2_5_shutdown(
        self, shop: Shop, emulator: Emulator
    ) -> None:
        assert shop.client.get_provider_status() == ProviderStatus.READY
        changed = Events(shop.client, ProviderEvent.PROVIDER_CONFIGURATION_CHANGED)
        api.shutdown()
        emulator.set_flag("banner_text", value="unseen")
        eventually(lambda: shop.banner_elsewhere() == "unseen")
        assert changed.all == []

    def test_2_4_5_an_app_without_the_extension_is_an_error(self) -> None:
        api.set_provider(FlagsmithRealtimeProvider(FlagsmithRealtime(), Flask("bare")))
        eventually(lambda: api.get_client().get_provider_status() == ProviderStatus.ERROR)

    def test_5_1_changes_name_the_flags(self, shop: Shop, emulator: Emulator) -> None:
        changed = Events(shop.client, ProviderEvent.PROVIDER_CONFIGURATION_CHANGED)
        assert emulator.wait_for_streams(1)
        assert shop.client.get_boolean_value("banner_text", False)
        emulator.set_flag("banner_text", value="new")
        assert changed.wait(1).flags_changed == ["banner_text"]
        assert changed.all[0].provider_name == "Flagsmith"

    def test_5_1_stale_while_flagsmith_fails_and_ready_again(
        self, shop: Shop, emulator: Emulator
    ) -> None:
        stale = Events(shop.client, ProviderEvent.PROVIDER_STALE)
        ready = Events(shop.client, ProviderEvent.PROVIDER_READY)
        ready_before = len(ready.all)
        assert emulator.wait_for_streams(1)
        assert shop.client.get_boolean_value("banner_text", False)
        emulator.stop()
        shop.flagsmith.stop(shop.app)
        shop.flagsmith.start(shop.app)
        assert "Flagsmith could not be asked" in str(stale.wait(1).message)
        assert shop.client.get_provider_status() == ProviderStatus.STALE
        assert shop.client.get_string_value("banner_text", "") == "Hello"
        emulator.start()
        ready.wait(ready_before + 1)
        eventually(lambda: shop.client.get_provider_status() == ProviderStatus.READY)

    def test_5_1_error_while_there_are_no_flags(
        self, make_app: MakeApp, emulator: Emulator
    ) -> None:
        emulator.stop()
        shop = Shop(make_app, STARTUP_TIMEOUT_SECONDS=0)
        failed = Events(shop.client, ProviderEvent.PROVIDER_ERROR)
        assert shop.client.get_boolean_value("banner_text", True) is True
        failed.wait(1)
        eventually(lambda: shop.client.get_provider_status() == ProviderStatus.ERROR)


class TestTracking:
    """2.7 and 6.1: events go to Flagsmith."""

    @pytest.fixture
    def tracking(self, make_app: MakeApp) -> Shop:
        shop = Shop(make_app)
        shop.app.testing = True
        return shop

    def test_2_7_1_events_are_reported(self, tracking: Shop) -> None:
        details = TrackingEventDetails(12.5, {"items": 3})
        tracking.client.track("purchase", EvaluationContext("ada", {"plan": "pro"}), details)
        tracking.flagsmith.identity_loader(lambda: Identity("bob"))
        with tracking.app.app_context():
            tracking.client.track("visit")
        purchase, visit = state_of(tracking.app).reporter.kept_events
        assert (purchase.event, purchase.identifier, purchase.value) == ("purchase", "ada", "12.5")
        assert (purchase.traits, purchase.metadata) == ({"plan": "pro"}, {"items": 3})
        assert (visit.event, visit.identifier, visit.metadata) == ("visit", "bob", None)

    def test_refused_events_are_logged(
        self, tracking: Shop, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING):
            tracking.client.track("$reserved")
            for attributes in ({}, {"flag_key": 7}, {"flag_key": "banner_text", "variant": 7}):
                details = TrackingEventDetails(attributes=attributes)
                tracking.client.track(EXPOSURE, EvaluationContext("ada"), details)
        assert not state_of(tracking.app).reporter.kept_events
        assert "The event '$reserved' of OpenFeature is not reported" in caplog.text
        assert caplog.text.count("flag_key and variant of an exposure must be text") == 3

    def test_exposures(self, make_app: MakeApp, emulator: Emulator, patient_reports: None) -> None:
        emulator.set_flag("button_colour", enabled=True, value="grey")
        emulator.set_variants("button_colour", {"blue": 0})
        emulator.set_experiment("button_colour", "colours", {"blue": 100})
        shop = Shop(
            make_app,
            ENVIRONMENT_KEY=emulator.client_side_key,
            ENABLE_EVENTS=True,
            EVENTS_API_URL=emulator.events_api_url,
        )
        details = TrackingEventDetails(attributes={"flag_key": "button_colour", "place": "top"})
        shop.client.track(EXPOSURE, EvaluationContext("ada"), details)
        shop.flagsmith.stop(shop.app)
        [event] = emulator.events
        assert (event["event"], event["identifier"]) == ("$flag_exposure", "ada")
        assert event["metadata"]["place"] == "top"

    def test_exposure_with_a_variant_is_what_the_app_says(self, tracking: Shop) -> None:
        attributes = {"flag_key": "button_colour", "variant": "blue", "place": "top"}
        details = TrackingEventDetails(attributes=attributes)
        tracking.client.track(EXPOSURE, EvaluationContext("ada"), details)
        tracking.client.track(EXPOSURE, tracking_event_details=details)
        [event] = state_of(tracking.app).reporter.kept_events
        assert (event.event, event.feature_name) == ("$flag_exposure", "button_colour")
        assert (event.identifier, event.value) == ("ada", "blue")
        assert event.metadata == {"place": "top"}


def details(shop: Shop, kind: str, name: str, default: Any) -> FlagEvaluationDetails[Any]:
    found: FlagEvaluationDetails[Any] = getattr(shop.client, f"get_{kind}_details")(name, default)
    return found


def split(shop: Shop) -> FlagEvaluationDetails[str]:
    return shop.client.get_string_details("banner_text", "", EvaluationContext("ada"))


def condition(trait: str, value: str) -> dict[str, Any]:
    found = {"operator": "EQUAL", "property_": trait, "value": value}
    return {"type": "ALL", "rules": [], "conditions": [found]}
