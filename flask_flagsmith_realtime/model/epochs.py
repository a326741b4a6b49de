"""Epochs: the moments at which an environment last changed, in seconds since 1970 as floats.

Pure functions from what Flagsmith sends to a float. Four places carry an epoch: the ``updated_at``
of a stream event, the ``updated_at`` of an environment document, the header
``X-Flagsmith-Document-Updated-At`` of an answer, and the ``timestamp`` of a webhook. When an epoch
is fetched for, and what one that repeats costs, is decided in ``engine/schedule.py``.
"""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any

import msgspec

from ..exceptions import InvalidDocumentError
from .decoding import decode, prepare

#: Numbers from here on are milliseconds: as seconds they would lie after the year 5000.
MILLISECONDS_FROM = 1e11

#: Clocks differ; no epoch that is right is further ahead of a clock than this.
_LARGEST_LEAD_SECONDS = 3600.0


class _Event(msgspec.Struct, frozen=True, gc=False):
    updated_at: Any = None


class _Change(msgspec.Struct, frozen=True, gc=False):
    timestamp: str | None = None


class _Webhook(msgspec.Struct, frozen=True, gc=False):
    data: _Change
    event_type: str | None = None


prepare(_Event, _Webhook)


def parse_epoch_number(value: Any) -> float:
    """Reads an epoch given as a number or as numeric text, in seconds or in milliseconds.

    :raises ValueError: if the value is anything else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"an epoch is a number, not {type(value).__name__}")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError("an epoch is a number") from None
    if not math.isfinite(number) or number < 0:
        raise ValueError("an epoch is a finite, positive number")
    return number / 1000 if number >= MILLISECONDS_FROM else number


def parse_event(data: str) -> float | None:
    """Reads the data of an ``environment_updated`` event.

    Flagsmith sends ``{"updated_at": 1673546928.02806}``; its documentation also shows
    milliseconds. Its SDKs fetch for an event without an epoch.

    :returns: the epoch in seconds; ``None`` if the event has none.
    :raises ValueError: if the data is not a JSON object, or its epoch is not one.
    """
    try:
        value = decode(_Event, data).updated_at
    except InvalidDocumentError as error:
        raise ValueError(f"the data is not a JSON object ({error})") from None
    return None if value is None else parse_epoch_number(value)


def parse_webhook(body: bytes) -> float | None:
    """Reads the epoch of the change that a webhook announces; ``None`` if the body holds none.

    The same for a deletion, which carries the moment of the feature's last edit: an answer that
    still has the feature can be newer.
    """
    try:
        webhook = decode(_Webhook, body)
    except InvalidDocumentError:
        return None
    is_deletion = webhook.event_type == "FLAG_DELETED"
    return None if is_deletion else parse_iso_epoch(webhook.data.timestamp)


def parse_epoch(value: str | None) -> float | None:
    """Reads an epoch in a header or a URL. A missing or invalid one is ``None``."""
    try:
        return parse_epoch_number(value)
    except ValueError:
        return None


def parse_iso_epoch(value: Any) -> float | None:
    """Reads a moment in ISO 8601, UTC unless it says otherwise; ``None`` for other values."""
    try:
        moment = msgspec.convert(value, datetime)
    except msgspec.ValidationError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def is_plausible(epoch: float, now: float) -> bool:
    """Returns ``False`` if an epoch is so far ahead that it is a mistake. All later ones would look
    older.

    :param now: the time by the clock of the server or of this machine, in seconds since 1970.
    """
    return epoch <= now + _LARGEST_LEAD_SECONDS


def may_hide_newer(epoch: float, held: float) -> bool:
    """Returns ``True`` if an announced epoch in whole seconds may be newer than the held one: a
    server that cuts off the fraction announces two changes in one second by one number."""
    return epoch.is_integer() and epoch <= held < epoch + 1
