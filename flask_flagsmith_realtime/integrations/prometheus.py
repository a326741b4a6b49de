"""Metrics for Prometheus, also with several processes.

Counters and gauges are set by the signals, in the thread that sends them, and no collector of its
own is used: so prometheus-client's multi-process mode works. Gauges of processes are combined: the
oldest epoch and refresh of all living processes, and the number of processes by state.

A forked child goes on with metrics of its own: prometheus-client finds out about the fork.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping
from typing import get_args

from flask import Flask

from ..app_state import state_of
from ..model import Flag, FlagChange, Snapshot
from ..monitoring import State
from ..signals import (
    flag_evaluated,
    flags_changed,
    refresh_failed,
    snapshot_refreshed,
    stream_connected,
    stream_disconnected,
)
from ._extras import missing_package

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge
except ImportError as error:
    raise missing_package("prometheus", "prometheus-client >= 0.20", error) from None

__all__ = ["init_app"]

_STATES = get_args(State)


def init_app(
    app: Flask, *, registry: CollectorRegistry = REGISTRY, evaluations: bool = False
) -> None:
    """Counts what happens to an app's flags.

    :param app: an app that the extension has set up.
    :param registry: where the metrics are registered.
    :param evaluations: also count the reads of each feature, once a request: one time series for
        each feature and state.
    :raises NotInitializedError: if the app was not set up.
    """
    state_of(app)
    metrics = _metrics.get(registry)
    if metrics is None:
        metrics = _metrics[registry] = _Metrics(registry)
    observer = _Observer(app, metrics)
    # Signals hold their receivers weakly.
    app.extensions.setdefault("flagsmith_realtime_prometheus", []).append(observer)
    observer.connect(app)
    if evaluations:
        flag_evaluated.connect(observer.evaluated, sender=app)


class _Metrics:
    """The metrics of one registry. Apps are told apart by the label ``app``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.epoch = Gauge(
            "flagsmith_environment_epoch_seconds",
            "When the environment last changed, by the flags that are served.",
            ["app"],
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.refreshed = Gauge(
            "flagsmith_last_refresh_timestamp_seconds",
            "When Flagsmith last answered.",
            ["app"],
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.processes = Gauge(
            "flagsmith_processes",
            "Processes by the state of their flags.",
            ["app", "state"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.refreshes = Counter(
            "flagsmith_refreshes", "Fetches by result.", ["app", "result"], registry=registry
        )
        self.connections = Counter(
            "flagsmith_stream_connections",
            "Times that the stream was opened.",
            ["app"],
            registry=registry,
        )
        self.changes = Counter(
            "flagsmith_flag_changes", "Changes by feature.", ["app", "feature"], registry=registry
        )
        self.evaluations = Counter(
            "flagsmith_evaluations",
            "Reads by feature and state, once a request.",
            ["app", "feature", "enabled"],
            registry=registry,
        )


_metrics: weakref.WeakKeyDictionary[CollectorRegistry, _Metrics] = weakref.WeakKeyDictionary()


class _Observer:
    """Sets the metrics of one app."""

    def __init__(self, app: Flask, metrics: _Metrics) -> None:
        self._name = app.name
        self._metrics = metrics

    def connect(self, app: Flask) -> None:
        """Connects all but the reads."""
        snapshot_refreshed.connect(self.refreshed, sender=app)
        refresh_failed.connect(self.failed, sender=app)
        stream_connected.connect(self.stream_opened, sender=app)
        stream_disconnected.connect(self.stream_ended, sender=app)
        flags_changed.connect(self.changed, sender=app)
        # At zero: Prometheus sees no increase in the first value of a series.
        for result in ("ok", "failed"):
            self._metrics.refreshes.labels(self._name, result)
        self._metrics.connections.labels(self._name)
        status = state_of(app).engine.status()
        if status.age_seconds is not None:
            # The first signals were sent before.
            self._set_freshness(status.epoch, time.time() - status.age_seconds)
            self._set_state(app)

    def refreshed(self, app: Flask, snapshot: Snapshot, **_: object) -> None:
        """Notes an answer of Flagsmith's."""
        self._metrics.refreshes.labels(self._name, "ok").inc()
        self._set_freshness(snapshot.epoch, time.time())
        self._set_state(app)

    def failed(self, app: Flask, **_: object) -> None:
        """Notes a failed fetch."""
        self._metrics.refreshes.labels(self._name, "failed").inc()
        self._set_state(app)

    def stream_opened(self, app: Flask, **_: object) -> None:
        """Notes that the stream is open."""
        self._metrics.connections.labels(self._name).inc()
        self._set_state(app)

    def stream_ended(self, app: Flask, **_: object) -> None:
        """Notes that the stream has ended."""
        self._set_state(app)

    def changed(self, app: Flask, changes: Mapping[str, FlagChange], **_: object) -> None:
        """Notes changes."""
        for feature in changes:
            self._metrics.changes.labels(self._name, feature).inc()

    def evaluated(self, app: Flask, flag: Flag, **_: object) -> None:
        """Counts a read. The names of defaults may be anything, so these have no series."""
        if flag.feature_id is not None:
            enabled = "true" if flag.enabled else "false"
            self._metrics.evaluations.labels(self._name, flag.feature_name, enabled).inc()

    def _set_freshness(self, epoch: float | None, refreshed_at: float) -> None:
        self._metrics.refreshed.labels(self._name).set(refreshed_at)
        if epoch is not None:
            self._metrics.epoch.labels(self._name).set(epoch)

    def _set_state(self, app: Flask) -> None:
        current = state_of(app).engine.status().state
        for state in _STATES:
            self._metrics.processes.labels(self._name, state).set(state == current)
