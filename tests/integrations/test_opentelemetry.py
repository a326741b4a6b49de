"""Events and metrics, through the OpenTelemetry SDK and its in-memory exporters."""

from __future__ import annotations

import time
from typing import Any

import pytest
from flask import Flask
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.semconv._incubating.attributes import feature_flag_attributes as names

from flask_flagsmith_realtime import Flag, FlagsmithRealtime, Identity, flags
from flask_flagsmith_realtime.emulator import Emulator
from flask_flagsmith_realtime.integrations import opentelemetry
from flask_flagsmith_realtime.testing import override_flags
from tests.support.apps import MakeApp
from tests.support.waiting import eventually


class Telemetry:
    """The events and metrics of an app."""

    def __init__(self) -> None:
        self._exporter = InMemoryLogRecordExporter()
        self.logs = LoggerProvider()
        self.logs.add_log_record_processor(SimpleLogRecordProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider([self._reader])

    def instrument(self, app: Flask, **options: Any) -> None:
        opentelemetry.init_app(
            app, logger_provider=self.logs, meter_provider=self.meters, **options
        )

    @property
    def events(self) -> list[Any]:
        return [data.log_record for data in self._exporter.get_finished_logs()]

    def attributes(self) -> dict[str, dict[str, Any]]:
        """The attributes of the events by feature."""
        found = [dict(event.attributes or {}) for event in self.events]
        return {attributes[names.FEATURE_FLAG_KEY]: attributes for attributes in found}

    def metric(self, name: str) -> dict[frozenset[tuple[str, Any]], Any]:
        """The values of a metric by its attributes."""
        data = self._reader.get_metrics_data()
        if data is None:
            return {}
        return {
            frozenset((point.attributes or {}).items()): point.value
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        }


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
def app() -> Flask:
    """An app under test."""
    app = Flask("shop")
    app.testing = True
    app.config["FLAGSMITH_DEFAULTS"] = {"discount": 5}
    FlagsmithRealtime(app).identity_loader(lambda: Identity("ada"))
    return app


def test_evaluations_are_events_of_the_conventions(app: Flask, telemetry: Telemetry) -> None:
    telemetry.instrument(app)
    split = Flag("colour", True, "blue", 7, "blue-key", reason="SPLIT; weight=50.0")
    overrides: dict[str, Any] = {
        "colour": split,
        "off": Flag("off", False, "x", 8, reason="DEFAULT"),
        "plain": Flag("plain", True, None, 9, reason="TARGETING_MATCH; segment=a"),
        "long": Flag("long", True, "x" * 5000, 10),
    }
    with (
        override_flags(app, overrides),
        TracerProvider().get_tracer("test").start_as_current_span("request") as span,
        app.app_context(),
    ):
        for name in ("colour", "colour", "off", "plain", "long", "discount", "nope"):
            flags.is_feature_enabled(name)
    assert {event.event_name for event in telemetry.events} == {"feature_flag.evaluation"}
    assert {event.trace_id for event in telemetry.events} == {span.get_span_context().trace_id}
    found = telemetry.attributes()
    assert len(telemetry.events) == len(found) == 6
    assert found["colour"] == {
        names.FEATURE_FLAG_KEY: "colour",
        names.FEATURE_FLAG_PROVIDER_NAME: "Flagsmith",
        names.FEATURE_FLAG_RESULT_REASON: "split",
        names.FEATURE_FLAG_RESULT_VARIANT: "blue-key",
    }
    results = {
        name: (
            attributes[names.FEATURE_FLAG_RESULT_REASON],
            attributes.get(names.FEATURE_FLAG_RESULT_VALUE),
        )
        for name, attributes in found.items()
    }
    reasons = names.FeatureFlagResultReasonValues
    assert results["off"] == (reasons.DISABLED.value, False)
    assert results["plain"] == (reasons.TARGETING_MATCH.value, True)
    assert results["long"] == (reasons.STATIC.value, "x" * 1000)
    assert results["discount"] == (reasons.DEFAULT.value, 5)
    assert results["nope"] == (reasons.DEFAULT.value, False)


def test_identifiers_are_reported_if_asked_for(app: Flask, telemetry: Telemetry) -> None:
    telemetry.instrument(app, identifiers=True)
    with app.app_context():
        flags.is_feature_enabled("discount")
    assert telemetry.attributes()["discount"][names.FEATURE_FLAG_CONTEXT_ID] == "ada"


def test_metrics_and_the_version(
    make_app: MakeApp, emulator: Emulator, telemetry: Telemetry
) -> None:
    started = time.time()
    app = make_app()
    telemetry.instrument(app)
    with app.app_context():
        flags.is_feature_enabled("banner_text")
        version = telemetry.attributes()["banner_text"][names.FEATURE_FLAG_VERSION]
        assert version == str(flags.epoch)
    assert emulator.wait_for_streams(1)
    emulator.set_flag("banner_text", value="new")
    change = frozenset({("flask.app", app.name), (names.FEATURE_FLAG_KEY, "banner_text")})
    eventually(lambda: telemetry.metric("flagsmith.flag.changes") == {change: 1})
    live = frozenset({("flask.app", app.name), ("state", "live")})
    eventually(lambda: telemetry.metric("flagsmith.state") == {live: 1})
    [age] = telemetry.metric("flagsmith.flags.age").values()
    assert 0 <= age <= time.time() - started
    [environment_age] = telemetry.metric("flagsmith.environment.age").values()
    assert environment_age >= 0
    emulator.end_streams()
    eventually(lambda: telemetry.metric("flagsmith.stream.connections"))
    ok = frozenset({("flask.app", app.name), ("result", "ok")})
    assert telemetry.metric("flagsmith.refreshes")[ok] >= 1
