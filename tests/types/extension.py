"""The types of the extension, the signals and the errors."""

from flask import Flask
from typing_extensions import reveal_type

from flask_flagsmith_realtime import (
    ConfigError,
    Event,
    FeatureNotFoundError,
    FetchError,
    FlagChange,
    FlagsmithRealtime,
    FlagsmithRealtimeError,
    HiddenFeatureError,
    InvalidDocumentError,
    NotInitializedError,
    Snapshot,
    Status,
    flag_evaluated,
    flags_changed,
    refresh_failed,
    snapshot_refreshed,
    stream_connected,
    stream_disconnected,
)

app = Flask(__name__)
flagsmith = FlagsmithRealtime(app)
reveal_type(flagsmith)  # => flask_flagsmith_realtime.extension.FlagsmithRealtime
reveal_type(FlagsmithRealtime())  # => flask_flagsmith_realtime.extension.FlagsmithRealtime
flagsmith.init_app(app)
flagsmith.start(app)
flagsmith.stop(app)
flagsmith.track_event("purchase", value=3, metadata={"items": 1})
flagsmith.track_event("purchase", 3)  # => error: call-arg
event = Event("purchase")
reveal_type(event.value)  # => str | None
reveal_type(flagsmith.status)  # => flask_flagsmith_realtime.monitoring.status.Status
reveal_type(flagsmith.health)  # => flask.blueprints.Blueprint

status = flagsmith.status
is_live = status.state == "live"
is_lively = status.state == "lively"  # => error: comparison-overlap
reveal_type(status.running)  # => bool
reveal_type(status.epoch)  # => float | None
reveal_type(status.age_seconds)  # => float | None
reveal_type(status.last_event)  # => float | None
reveal_type(status.last_error)  # => str | None
reveal_type(status.stream_connected_since)  # => float | None
reveal_type(status.calls)  # => int
reveal_type(status.reconnects)  # => int
reveal_type(status.leader)  # => bool | None


@flagsmith.on_change("pricing")
def reprice(change: FlagChange) -> int:
    reveal_type(change.feature_name)  # => str
    reveal_type(change.before)  # => flask_flagsmith_realtime.model.flag.Flag | None
    reveal_type(change.after)  # => flask_flagsmith_realtime.model.flag.Flag | None
    reveal_type(change.targeting_changed)  # => bool
    return 1


reveal_type(reprice)  # => def (change: flask_flagsmith_realtime.model.changes.FlagChange) -> int


@flagsmith.on_change("pricing")  # => error: type-var
def takes_nothing() -> None: ...


reveal_type(flags_changed)  # => blinker.base.NamedSignal
reveal_type(snapshot_refreshed)  # => blinker.base.NamedSignal
reveal_type(stream_connected)  # => blinker.base.NamedSignal
reveal_type(stream_disconnected)  # => blinker.base.NamedSignal
reveal_type(flag_evaluated)  # => blinker.base.NamedSignal
reveal_type(refresh_failed)  # => blinker.base.NamedSignal


@flags_changed.connect_via(app)
def react(app: Flask, changes: dict[str, FlagChange], snapshot: Snapshot, **_: object) -> None:
    reveal_type(snapshot.epoch)  # => float | None
    reveal_type(snapshot.fetched_at)  # => float
    reveal_type(snapshot.flags["a"])  # => flask_flagsmith_realtime.model.flag.Flag


def report(status: Status) -> None: ...


report(flagsmith.status)

errors: list[type[FlagsmithRealtimeError]] = [
    ConfigError,
    FeatureNotFoundError,
    FetchError,
    HiddenFeatureError,
    InvalidDocumentError,
    NotInitializedError,
]
