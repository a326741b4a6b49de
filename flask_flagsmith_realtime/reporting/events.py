"""Events: exposures to experiments, and what users did, for Flagsmith's experiments.

An event is checked when it is tracked, in the caller's thread, so that a wrong one is refused where
it is made. It waits as JSON until the next report.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from urllib.parse import urljoin

import msgspec

from ..client import ReportError
from ..config import Config
from ..exceptions import InvalidDocumentError
from ..logs import BackgroundLogger, OncePerCause
from ..model import Flag, FlagValue, Identity, decode, prepare
from ..version import __version__
from .posting import Post, describe_status

logger = BackgroundLogger(logging.getLogger(__name__))

#: The event of an identity that was shown a variant.
EXPOSURE = "$flag_exposure"

#: The most events that wait, and the most bytes of them. Flagsmith takes bodies up to 2 MiB.
MOST_EVENTS = 1000
_MOST_BYTES = 16 * 1024 * 1024
_MOST_BYTES_IN_A_BODY = 1024 * 1024

_LONGEST_NAME = 256
_LARGEST_VALUE_BYTES = 128 * 1024
_LARGEST_METADATA_BYTES = 8 * 1024


@dataclass(frozen=True, slots=True)
class Event:
    """An exposure to an experiment, or something that a user did.

    :param event: its name.
    :param feature_name: the feature of an exposure.
    :param identifier: the identifier of the user's identity.
    :param value: the variant of an exposure, or any value.
    :param traits: the identity's traits, but for transient ones.
    :param metadata: further members.
    :param timestamp: when it happened, in milliseconds since 1970.
    """

    event: str
    feature_name: str | None = None
    identifier: str | None = None
    value: str | None = None
    traits: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] | None = None
    timestamp: int = field(default_factory=lambda: time.time_ns() // 1_000_000, compare=False)

    def serialize(self) -> bytes:
        """Returns the event as JSON.

        :raises ValueError: if a member cannot be written as JSON.
        """
        content = {
            "event": self.event,
            "feature_name": self.feature_name,
            "identifier": self.identifier,
            "value": self.value,
            "traits": None if self.traits is None else dict(self.traits),
            "metadata": {
                **(self.metadata or {}),
                "sdk_version": f"flask-flagsmith-realtime/{__version__}",
            },
            "timestamp": self.timestamp,
        }
        return _json(content)


def tracked_event(
    name: str, identity: Identity | None, value: FlagValue, metadata: Mapping[str, Any] | None
) -> Event:
    """Returns the event of something that a user did.

    :raises TypeError: if an argument has a wrong type.
    :raises ValueError: if it exceeds a limit of Flagsmith's.
    """
    if not isinstance(name, str):
        raise TypeError(f"An event's name must be a str, not {type(name).__name__}.")
    if not name.strip() or len(name) > _LONGEST_NAME:
        raise ValueError(f"An event's name must have 1 to {_LONGEST_NAME} characters: {name!r:.60}")
    if name.startswith("$"):
        raise ValueError(f"An event's name must not begin with $, which is Flagsmith's: {name!r}")
    return _event(name, None, identity, value, metadata)


def exposure(
    flag: Flag, identity: Identity | None, metadata: Mapping[str, Any] | None = None
) -> Event | None:
    """Returns the event of an identity that was shown a variant; ``None`` if there is none: the
    flag is off, a default, or outside an experiment, or its identity is unknown.

    :raises TypeError: if the metadata has a wrong type.
    :raises ValueError: if it exceeds a limit of Flagsmith's.
    """
    experiment = flag.experiment
    if identity is None or not flag.enabled or flag.is_default or flag.variant is None:
        return None
    if experiment is None or not experiment.in_experiment:
        return None
    metadata = {**(metadata or {}), "experiment_id": experiment.id}
    return _event(EXPOSURE, flag.feature_name, identity, flag.variant, metadata)


def exposure_by_app(
    feature_name: str, variant: str, identity: Identity | None, metadata: Mapping[str, Any] | None
) -> Event | None:
    """Returns the event of an identity that was shown a variant, as the app says; ``None`` if the
    identity is unknown.

    :raises TypeError: if an argument has a wrong type.
    :raises ValueError: if it exceeds a limit of Flagsmith's.
    """
    if identity is None:
        return None
    return _event(EXPOSURE, feature_name, identity, variant, metadata)


class Events:
    """The events that wait to be reported. Thread-safe.

    :param config: the app's settings.
    """

    def __init__(self, config: Config) -> None:
        self._url = urljoin(config.events_api_url, "v1/events")
        self._problem = OncePerCause(logger, "events", "Flagsmith takes events again.")
        self._rejections = OncePerCause(logger, "events_rejected", "")
        self._disabled = OncePerCause(logger, "events_disabled", "")
        self.reset()

    def reset(self) -> None:
        """Begins with no event, and with a new lock."""
        self._lock = threading.Lock()
        #: By what makes an exposure the same; every other event has a key of its own.
        self._waiting: dict[object, bytes] = {}
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def log_disabled(self) -> None:
        """Logs once that events are tracked although the settings turn them off."""
        self._disabled.problem(
            "Events are tracked, but FLAGSMITH_ENABLE_EVENTS is off: they are not sent."
        )

    def add(self, event: Event) -> bool:
        """Adds an event to the next report. An exposure that waits already is left out.

        :returns: ``True`` if no further event fits.
        """
        try:
            content = event.serialize()
        except ValueError as error:
            # A trait of thousands of digits.
            self._rejections.problem(f"An event cannot be written as JSON and is dropped: {error}.")
            return False
        key: object = object()
        if event.event == EXPOSURE:
            key = event.feature_name, event.identifier, event.value
        with self._lock:
            if key in self._waiting:
                return False
            dropped = self._is_full
            if not dropped:
                self._waiting[key] = content
                self._bytes += len(content)
            is_full = self._is_full
        if dropped:
            self._problem.problem(
                f"Events wait for Flagsmith at {self._url}, and there is no room for more: new "
                "ones are dropped until it takes them."
            )
        return is_full and not dropped

    def report(self, post: Post) -> None:
        """Posts the events. Those that cannot be delivered wait for the next report."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            self._bytes = 0
        reported = 0
        for batch in _batches(waiting.values()):
            if not self._post(post, batch):
                break
            reported += len(batch)
        else:
            return
        with self._lock:
            left = {**dict(islice(waiting.items(), reported, None)), **self._waiting}
            self._waiting = dict(islice(left.items(), MOST_EVENTS))
            self._bytes = sum(map(len, self._waiting.values()))

    @property
    def _is_full(self) -> bool:
        return len(self._waiting) >= MOST_EVENTS or self._bytes >= _MOST_BYTES

    def _post(self, post: Post, batch: list[bytes]) -> bool:
        """Posts events. Returns ``False`` if they have to wait."""
        try:
            status, body = post(self._url, b'{"events":[' + b",".join(batch) + b"]}")
        except ReportError as error:
            self._problem.problem(
                f"Events could not be reported to {self._url}: {error}. They wait; it is tried "
                "again."
            )
            return False
        if status in (408, 429) or status >= 500:
            self._problem.problem(
                f"Events could not be reported to {self._url}: it answered "
                f"{describe_status(status)}. They wait; it is tried again."
            )
            return False
        if status not in (200, 202, 204, 400):
            self._problem.problem(
                f"Events were refused at {self._url} with {describe_status(status)} and are "
                "dropped. Check FLAGSMITH_EVENTS_API_URL and FLAGSMITH_ENVIRONMENT_KEY."
            )
            return True
        self._problem.recovered()
        for reason in _reasons(body) if status in (202, 400) else ():
            self._rejections.problem(f"Flagsmith rejected an event, which is dropped: {reason}.")
        return True


def _event(
    name: str,
    feature_name: str | None,
    identity: Identity | None,
    value: FlagValue,
    metadata: Mapping[str, Any] | None,
) -> Event:
    """Returns an event, with its value and metadata checked."""
    if value is not None and not isinstance(value, (str, int, float)):
        raise TypeError(
            f"The value of the event {name!r} must be text, a number, True, False or None, not "
            f"{type(value).__name__}; other values go into metadata."
        )
    text = None if value is None else str(value)
    if text is not None and len(text.encode(errors="replace")) > _LARGEST_VALUE_BYTES - 2:
        raise ValueError(f"The value of the event {name!r} is larger than 128 KiB.")
    if metadata is not None:
        _check_metadata(name, metadata)
    return Event(name, feature_name, value=text, metadata=metadata, **_user(identity))


def _user(identity: Identity | None) -> dict[str, Any]:
    if identity is None:
        return {}
    transient = identity.transient_traits
    traits = {name: value for name, value in identity.traits.items() if name not in transient}
    return {"identifier": identity.identifier, "traits": traits or None}


def _check_metadata(name: str, metadata: Any) -> None:
    if not isinstance(metadata, Mapping):
        raise TypeError(
            f"The metadata of the event {name!r} must be a dict, not {type(metadata).__name__}."
        )
    try:
        content = _json(dict(metadata))
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(
            f"The metadata of the event {name!r} cannot be written as JSON: {error}"
        ) from None
    # The version of this package is added to it.
    if len(content) > _LARGEST_METADATA_BYTES - 100:
        raise ValueError(f"The metadata of the event {name!r} is larger than 8 KiB.")


def _json(content: Any) -> bytes:
    return json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode(
        errors="replace"
    )


def _batches(events: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Divides events into bodies that Flagsmith takes."""
    batch: list[bytes] = []
    size = 0
    for event in events:
        if batch and size + len(event) > _MOST_BYTES_IN_A_BODY:
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += len(event)
    if batch:
        yield batch


class _Rejected(msgspec.Struct):
    error: str


class _Answer(msgspec.Struct):
    rejected: tuple[_Rejected, ...]


prepare(_Answer)


def _reasons(body: bytes) -> Iterator[str]:
    """Returns why events were rejected, without the places of the events, which always differ."""
    with contextlib.suppress(InvalidDocumentError):
        for rejected in decode(_Answer, body).rejected:
            yield (rejected.error.partition("].")[2] or rejected.error)[:200]
