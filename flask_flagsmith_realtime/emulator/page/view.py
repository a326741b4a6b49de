"""The content of the page, made from an environment, a journal and usage. Pure functions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import islice
from typing import Any

from .. import rules
from ..environment import OVERRIDE_REASON, Environment, Served
from ..journal import Visit
from ..usage import EXPOSURE
from .values import as_text, kind

#: As many identities that were not served yet are shown.
_MOST_UNSEEN = 12

#: An identity with more flags is shown with those that are not as in the environment.
_MOST_FLAGS = 100

#: As many counts, and as many events, are shown.
_MOST_COUNTS = 8
_MOST_EVENTS = 8

#: A field with more lines scrolls.
_MOST_LINES = 12
_LONG = 60


@dataclass(frozen=True)
class Field:
    """A value in a field that can be edited."""

    text: str
    kind: str

    @property
    def lines(self) -> int:
        """The height of the field in lines; 0 for a field with a single line."""
        if "\n" not in self.text and len(self.text) <= _LONG and "JSON" not in self.kind:
            return 0
        return min(self.text.count("\n") + 1 + len(self.text) // 120, _MOST_LINES)


@dataclass(frozen=True)
class Share:
    """A variant, or the control value, with the percentage of identities that get it.

    :param start: the sum of the percentages before it, where it begins in the bar.
    """

    text: str
    key: str | None
    percentage: float
    start: float


@dataclass(frozen=True)
class Override:
    """A feature's state for a segment or an identity."""

    feature: str
    enabled: bool
    field: Field


@dataclass(frozen=True)
class FeatureView:
    """A feature in the environment."""

    id: int
    name: str
    enabled: bool
    field: Field
    shares: list[Share]
    #: The segments and identities that override it.
    overridden_for: list[str]
    #: The name of its running experiment.
    experiment: str | None

    @property
    def variants(self) -> list[Share]:
        """The shares without the control value."""
        return self.shares[1:]


@dataclass(frozen=True)
class SegmentView:
    """A segment."""

    id: int
    name: str
    sentences: list[str]
    conditions: list[Mapping[str, Any]]
    overrides: list[Override]


@dataclass(frozen=True)
class Reason:
    """The reason of a flag. Its kind is ``environment``, ``segment``, ``override`` or ``split``."""

    kind: str
    text: str


@dataclass(frozen=True)
class ServedView:
    """A feature as an identity got it.

    :param now: what the identity would get now, if that differs.
    """

    feature: str
    enabled: bool
    text: str
    reason: Reason
    now: str | None


@dataclass(frozen=True)
class PersonView:
    """An identity with its traits, its overrides, and the flags that it got or would get.

    :param more: how many flags are not in ``served``: all are as in the environment.
    :param at: when it was last served; ``None`` if it was not.
    """

    identifier: str
    traits: Mapping[str, str]
    overrides: list[Override]
    served: list[ServedView]
    more: int
    at: datetime | None


@dataclass(frozen=True)
class EventView:
    """An event that an app sent."""

    name: str
    identifier: str
    text: str
    at: datetime


@dataclass(frozen=True)
class UsageView:
    """The reports of apps.

    :param evaluations: the features that were evaluated most, with the counts.
    :param exposures: for each feature, how many exposures there were to each variant.
    :param events: the last events, the newest first.
    """

    evaluations: list[tuple[str, int]]
    exposures: list[tuple[str, list[tuple[str, int]]]]
    events: list[EventView]
    event_count: int


def features(environment: Environment) -> list[FeatureView]:
    """Returns the environment's features."""
    overridden_for = _overridden_for(environment)
    return [
        FeatureView(
            id=state["feature"]["id"],
            name=state["feature"]["name"],
            enabled=state["enabled"],
            field=_field(state["feature_state_value"]),
            shares=_shares(state),
            overridden_for=overridden_for[state["feature"]["name"]],
            experiment=state.get("metadata", {}).get("experiment", {}).get("name"),
        )
        for state in environment.document["feature_states"]
    ]


def segments(environment: Environment) -> list[SegmentView]:
    """Returns the segments."""
    return [
        SegmentView(
            id=segment["id"],
            name=segment["name"],
            sentences=rules.sentences(segment["rules"]),
            conditions=list(rules.conditions(segment["rules"])),
            overrides=_overrides(segment["feature_states"]),
        )
        for segment in environment.document["project"]["segments"]
    ]


def people(environment: Environment, visits: list[Visit]) -> list[PersonView]:
    """Returns the identities that were served lately and others with traits or overrides,
    sorted."""
    seen = {visit.identifier: visit for visit in visits}
    unseen = islice((name for name in environment.identities if name not in seen), _MOST_UNSEEN)
    # By name, not by time: nothing moves while a reader is about to click on it.
    return [_person(environment, name, seen.get(name)) for name in sorted([*seen, *unseen])]


def usage(evaluations: Counter[str], events: Sequence[Mapping[str, Any]]) -> UsageView:
    """Returns the reports of apps."""
    exposures: dict[str, Counter[str]] = {}
    for event in events:
        if event["event"] == EXPOSURE:
            counts = exposures.setdefault(event["feature_name"], Counter())
            counts[as_text(event["value"]) or "no variant"] += 1
    return UsageView(
        evaluations=evaluations.most_common(_MOST_COUNTS),
        exposures=[
            (feature, counts.most_common(_MOST_COUNTS)) for feature, counts in exposures.items()
        ],
        events=[_event(event) for event in reversed(events[-_MOST_EVENTS:])],
        event_count=len(events),
    )


def _event(event: Mapping[str, Any]) -> EventView:
    exposure = event["event"] == EXPOSURE
    return EventView(
        name=f"saw {event['feature_name']}" if exposure else event["event"],
        identifier=event["identifier"] or "",
        text=as_text(event["value"]),
        at=datetime.fromtimestamp(event["timestamp"] / 1000, timezone.utc),
    )


def reason(served: Served) -> Reason:
    """Word the reason of a flag."""
    what, _, detail = served.reason.partition("; ")
    text = detail.partition("=")[2]
    if what == "SPLIT":
        return Reason("split", f"split, {float(text):g} %")
    if what != "TARGETING_MATCH":
        return Reason("environment", "environment")
    # The SDK words an identity's override like a segment, and a segment may have that name.
    if served.reason == OVERRIDE_REASON and served.state["feature_segment"] is None:
        return Reason("override", "override")
    return Reason("segment", f"segment {text}")


def _person(environment: Environment, name: str, visit: Visit | None) -> PersonView:
    traits = environment.traits(name)
    if visit is not None:
        traits |= visit.transient
    now = environment.evaluate(name, traits)
    served = list(_compare(now if visit is None else visit.flags, now))
    if len(served) > _MOST_FLAGS:
        shown = [flag for flag in served if flag.now or flag.reason.kind != "environment"]
    else:
        shown = served
    return PersonView(
        identifier=name,
        traits={trait: as_text(value) for trait, value in traits.items()},
        overrides=_overrides(environment.overrides(name)),
        served=shown,
        more=len(served) - len(shown),
        at=None if visit is None else visit.at,
    )


def _compare(served: Sequence[Served], now: Sequence[Served]) -> Iterator[ServedView]:
    """Yields what was served, with what would be served now where that differs."""
    current = {flag.state["feature"]["name"]: flag for flag in now}
    for flag in served:
        name = flag.state["feature"]["name"]
        later = current.get(name)
        differs = later is not None and _outcome(later) != _outcome(flag)
        yield ServedView(
            feature=name,
            enabled=flag.state["enabled"],
            text=as_text(flag.value),
            reason=reason(flag),
            now=_in_words(later) if later is not None and differs else None,
        )


def _outcome(served: Served) -> tuple[bool, object]:
    return served.state["enabled"], served.value


def _in_words(served: Served) -> str:
    switch = "on" if served.state["enabled"] else "off"
    text = as_text(served.value)
    return f"{switch}, {text}" if text else switch


def _field(value: object) -> Field:
    return Field(as_text(value), kind(value))


def _shares(state: Mapping[str, Any]) -> list[Share]:
    variants = state["multivariate_feature_state_values"]
    if not variants:
        return []
    control = 100 - sum(variant["percentage_allocation"] for variant in variants)
    shares = [Share(as_text(state["feature_state_value"]), "control", max(control, 0), 0)]
    for variant in variants:
        option, last = variant["multivariate_feature_option"], shares[-1]
        shares.append(
            Share(
                as_text(option["value"]),
                option.get("key"),
                variant["percentage_allocation"],
                last.start + last.percentage,
            )
        )
    return shares


def _overrides(states: list[dict[str, Any]]) -> list[Override]:
    return [
        Override(state["feature"]["name"], state["enabled"], _field(state["feature_state_value"]))
        for state in states
    ]


def _overridden_for(environment: Environment) -> defaultdict[str, list[str]]:
    """The segments and the identities that override a feature, by its name."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    for segment in environment.document["project"]["segments"]:
        for state in segment["feature_states"]:
            names[state["feature"]["name"]].append(f"segment {segment['name']}")
    for entry in environment.document["identity_overrides"]:
        for state in entry["identity_features"]:
            names[state["feature"]["name"]].append(str(entry["identifier"]))
    return names
