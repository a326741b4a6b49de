"""Events and metrics for OpenTelemetry.

An evaluation is a ``feature_flag.evaluation`` event, as the semantic conventions for feature flags
name it: a log record that carries the current trace. It is emitted in the thread that reads, once a
request for each feature and identity. The metrics are observed when they are exported, or counted
where the signals are sent.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from flask import Flask

from ..app_state import state_of
from ..current import flags
from ..model import Flag, FlagChange, Identity
from ..signals import (
    flag_evaluated,
    flags_changed,
    refresh_failed,
    snapshot_refreshed,
    stream_connected,
)
from ..version import __version__
from ._extras import missing_package
from ._reasons import reason_of

try:
    from opentelemetry import metrics
    from opentelemetry._logs import LoggerProvider, get_logger
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
except ImportError as error:
    raise missing_package("opentelemetry", "opentelemetry-api >= 1.39", error) from None

__all__ = ["init_app"]

_EXTENSION = "flagsmith_realtime_opentelemetry"
_EVENT = "feature_flag.evaluation"
_SCOPE = "flask_flagsmith_realtime"
_SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"
#: Longer values are cut off: the conventions ask for a limit.
_LONGEST_VALUE = 1000


def init_app(
    app: Flask,
    *,
    identifiers: bool = False,
    logger_provider: LoggerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> None:
    """Reports an app's evaluations and the state of its flags.

    :param app: an app that the extension has set up.
    :param identifiers: the events carry the identity's identifier, as ``feature_flag.context.id``.
    :param logger_provider: receives the events; the global one unless given.
    :param meter_provider: receives the metrics; the global one unless given.
    :raises NotInitializedError: if the app was not set up.
    """
    state_of(app)
    instruments = _Instruments(app, identifiers, logger_provider, meter_provider)
    # Signals hold their receivers weakly.
    app.extensions[_EXTENSION] = instruments


class _Instruments:
    """The metrics and events of one app."""

    def __init__(
        self,
        app: Flask,
        identifiers: bool,
        logger_provider: LoggerProvider | None,
        meter_provider: MeterProvider | None,
    ) -> None:
        self._identifiers = identifiers
        self._attributes = {"flask.app": app.name}
        self._engine = state_of(app).engine
        self._logger = get_logger(_SCOPE, __version__, logger_provider, _SCHEMA_URL)
        meter = metrics.get_meter(_SCOPE, __version__, meter_provider)
        self._refreshes = meter.create_counter(
            "flagsmith.refreshes", "{refresh}", "Fetches by result."
        )
        self._connections = meter.create_counter(
            "flagsmith.stream.connections", "{connection}", "Times that the stream was opened."
        )
        self._changes = meter.create_counter(
            "flagsmith.flag.changes", "{change}", "Changes by feature."
        )
        meter.create_observable_gauge(
            "flagsmith.flags.age", [self._observe_age], "s", "Time since Flagsmith's last answer."
        )
        meter.create_observable_gauge(
            "flagsmith.environment.age",
            [self._observe_epoch],
            "s",
            "Time since the environment's last change, by the flags that are served.",
        )
        meter.create_observable_gauge(
            "flagsmith.state", [self._observe_state], "1", "1 for the state of the flags."
        )
        flag_evaluated.connect(self._evaluated, sender=app)
        snapshot_refreshed.connect(self._refreshed, sender=app)
        refresh_failed.connect(self._failed, sender=app)
        stream_connected.connect(self._connected, sender=app)
        flags_changed.connect(self._changed, sender=app)

    def _evaluated(self, app: Flask, flag: Flag, identity: Identity | None, **_: object) -> None:
        attributes: dict[str, str | bool | int | float] = {
            "feature_flag.key": flag.feature_name,
            "feature_flag.provider.name": "Flagsmith",
            "feature_flag.result.reason": reason_of(flag).lower(),
        }
        if flag.variant is not None:
            attributes["feature_flag.result.variant"] = flag.variant
        else:
            value = flag.value if flag.enabled and flag.value is not None else flag.enabled
            is_text = isinstance(value, str)
            attributes["feature_flag.result.value"] = (
                str(value)[:_LONGEST_VALUE] if is_text else value
            )
        epoch = flags.epoch
        if epoch is not None:
            attributes["feature_flag.version"] = str(epoch)
        if self._identifiers and identity is not None:
            attributes["feature_flag.context.id"] = identity.identifier
        self._logger.emit(timestamp=time.time_ns(), event_name=_EVENT, attributes=attributes)

    def _refreshed(self, app: Flask, **_: object) -> None:
        self._refreshes.add(1, {**self._attributes, "result": "ok"})

    def _failed(self, app: Flask, **_: object) -> None:
        self._refreshes.add(1, {**self._attributes, "result": "failed"})

    def _connected(self, app: Flask, **_: object) -> None:
        self._connections.add(1, self._attributes)

    def _changed(self, app: Flask, changes: Mapping[str, FlagChange], **_: object) -> None:
        for name in changes:
            self._changes.add(1, {**self._attributes, "feature_flag.key": name})

    def _observe_age(self, _: CallbackOptions) -> Iterable[Observation]:
        age = self._engine.status().age_seconds
        if age is not None:
            yield Observation(age, self._attributes)

    def _observe_epoch(self, _: CallbackOptions) -> Iterable[Observation]:
        epoch = self._engine.status().epoch
        if epoch is not None:
            yield Observation(max(0.0, time.time() - epoch), self._attributes)

    def _observe_state(self, _: CallbackOptions) -> Iterable[Observation]:
        yield Observation(1, {**self._attributes, "state": self._engine.status().state})
