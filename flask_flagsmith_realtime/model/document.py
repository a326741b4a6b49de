"""The types of Flagsmith's answers, and their strict decoding.

An answer is decoded and validated in one pass, in C, by msgspec: a malformed one is refused as a
whole, with the path of the member and what it must be. Members without a type here are let through:
Flagsmith may add some.

The bytes of an environment document are kept: they are what is stored, shared and compared. Two
documents with the same bytes for their feature states and segments share the decoded objects. The
overrides of an identity stay undecoded until that identity is evaluated, so thousands of them cost
their bytes and an index. A malformed override thus spoils one identity, not the document.

All objects are immutable, and none of the types is tracked by the garbage collector: a large
document does not cause full collections.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

import msgspec

from ..exceptions import InvalidDocumentError
from .conditions import check_condition
from .decoding import decode, json_text
from .flag import Experiment, Flag, FlagValue

#: How deeply rules may be nested, so that their evaluation finds room on any stack.
_MAX_RULE_DEPTH = 32


class _Object(msgspec.Struct, frozen=True, gc=False):
    """A JSON object."""


class Feature(_Object, frozen=True):
    """A feature."""

    id: int
    name: str
    type: str | None = None


class VariantOption(_Object, frozen=True):
    """One of the values of a multivariate feature."""

    value: FlagValue
    key: str | None = None


class Variant(_Object, frozen=True):
    """A share of the identities that get one of a multivariate feature's values."""

    multivariate_feature_option: VariantOption
    percentage_allocation: float
    id: int | None = None
    mv_fs_value_uuid: str | None = None

    def __post_init__(self) -> None:
        _ = self.priority

    @property
    def priority(self) -> int:
        """The place of the variant among those of its feature: the lowest number comes first."""
        return self.id or UUID(self.mv_fs_value_uuid or "").int


class FeatureSegment(_Object, frozen=True):
    """The priority of a segment's override of a feature: the lowest number wins."""

    priority: float


class FeatureState(_Object, frozen=True):
    """The state of a feature: in the environment, for a segment or for an identity."""

    feature: Feature
    enabled: bool
    feature_state_value: FlagValue
    django_id: int | None = None
    featurestate_uuid: str | None = None
    feature_segment: FeatureSegment | None = None
    multivariate_feature_state_values: tuple[Variant, ...] | None = None

    def __post_init__(self) -> None:
        if not self.django_id and self.featurestate_uuid is None:
            raise ValueError("Object missing required field `featurestate_uuid`")


FeatureStates: TypeAlias = tuple[FeatureState, ...]


class Condition(_Object, frozen=True):
    """A condition that a trait, or a part of the evaluation context, meets or not."""

    operator: str
    value: str | int | float | bool | list[Any] | None
    property_: str | None = None

    def __post_init__(self) -> None:
        check_condition(self.operator, self.property_, self.value)


class Rule(_Object, frozen=True):
    """A rule: what its type says of its conditions and inner rules."""

    type: Literal["ALL", "ANY", "NONE"]
    conditions: tuple[Condition, ...] = ()
    rules: tuple[Rule, ...] = ()


class Segment(_Object, frozen=True):
    """A segment: the identities that all of its rules match, and what it overrides for them."""

    id: int
    name: str
    rules: tuple[Rule, ...]
    feature_states: FeatureStates | None = None

    def __post_init__(self) -> None:
        rules: Sequence[Rule] = self.rules
        for _ in range(_MAX_RULE_DEPTH):
            rules = [inner for rule in rules for inner in rule.rules]
        if rules:
            raise ValueError("the rules are nested too deeply")


class Project(_Object, frozen=True):
    """A project: what is the same in all of its environments."""

    segments: tuple[Segment, ...]
    name: str | None = None
    enable_realtime_updates: bool | None = None
    hide_disabled_flags: bool | None = None
    server_key_only_feature_ids: tuple[int, ...] | None = None


class Settings(_Object, frozen=True):
    """Settings of the environment."""

    hide_disabled_flags: bool | None = None
    hide_sensitive_data: bool | None = None
    use_identity_overrides_in_local_eval: bool | None = None
    use_identity_composite_key_for_hashing: bool | None = None


class _IdentityOverride(_Object, frozen=True):
    identifier: str
    identity_features: msgspec.Raw


class _FurtherPage(_Object, frozen=True):
    identity_overrides: tuple[_IdentityOverride, ...]
    updated_at: Any = None


class _FirstPage(Settings, frozen=True, kw_only=True):
    api_key: Annotated[str, msgspec.Meta(min_length=1)]
    name: str
    feature_states: msgspec.Raw
    project: msgspec.Raw
    identity_overrides: tuple[_IdentityOverride, ...] | None = None
    updated_at: Any = None


class FlagMetadata(_Object, frozen=True):
    """The metadata of a flag."""

    experiment: Experiment | None = None


class FlagState(_Object, frozen=True):
    """A flag, as ``flags/`` and ``identities/`` answer it."""

    feature: Feature
    enabled: bool
    feature_state_value: FlagValue
    variant: str | None = None
    reason: str | None = None
    metadata: FlagMetadata | None = None

    def flag(self, make: Callable[..., Flag] = Flag) -> Flag:
        """Return it as a flag.

        :param make: makes a flag, or returns an equal one.
        """
        feature = self.feature
        return make(
            feature.name,
            self.enabled,
            self.feature_state_value,
            feature.id,
            self.variant,
            False,
            self.reason,
            None if self.metadata is None else self.metadata.experiment,
        )


class _Identity(_Object, frozen=True):
    flags: tuple[FlagState, ...]


_first_page = msgspec.json.Decoder(_FirstPage)
_further_page = msgspec.json.Decoder(_FurtherPage)
_feature_states = msgspec.json.Decoder(FeatureStates)
_project = msgspec.json.Decoder(Project)
_flags = msgspec.json.Decoder(tuple[FlagState, ...])
_identity = msgspec.json.Decoder(_Identity)


@dataclass(frozen=True, eq=False)
class Page:
    """A page of an environment document. Most documents have one.

    :param body: the page as it came, without a byte order mark.
    """

    body: bytes
    content: _FirstPage | _FurtherPage

    @property
    def updated_at(self) -> Any:
        """The page's ``updated_at``: the moment of the environment's last change."""
        return self.content.updated_at


@dataclass(frozen=True, eq=False)
class Document:
    """An environment document.

    :param pages: the bytes of its pages.
    :param environment_id: the client-side key, which names the environment's stream.
    :param name: the environment's name.
    :param settings: the environment's settings, as far as they matter here.
    """

    pages: tuple[bytes, ...] = field(repr=False)
    environment_id: str = field(repr=False)
    name: str
    settings: Settings = field(repr=False)
    feature_states: FeatureStates = field(repr=False)
    project: Project = field(repr=False)
    _raw_parts: tuple[msgspec.Raw, msgspec.Raw] = field(repr=False)
    _overrides: Mapping[str, msgspec.Raw] = field(repr=False)

    def overrides_of(self, identifier: str) -> FeatureStates:
        """Return the overrides for the identity with exactly that identifier.

        :raises InvalidDocumentError: if they are malformed.
        """
        raw = self._overrides.get(identifier)
        if raw is None:
            return ()
        return decode(_feature_states, raw)

    def overridden_features(self) -> set[str]:
        """Return the names of the features that are overridden for an identity.

        This decodes the overrides of all identities.
        """
        names = set()
        for identifier in self._overrides:
            with contextlib.suppress(InvalidDocumentError):
                names |= {state.feature.name for state in self.overrides_of(identifier)}
        return names

    def identifiers_with_other_overrides(self, other: Document) -> Sequence[str]:
        """Return the identifiers whose overrides differ, by bytes, from those in another one."""
        own, others = self._overrides, other._overrides
        if own == others:
            return ()
        differing = [name for name, raw in own.items() if others.get(name) != raw]
        return [*differing, *(name for name in others if name not in own)]

    def is_same_as(self, other: Document) -> bool:
        """Return whether two documents say the same of all that is evaluated, by bytes."""
        return self.pages == other.pages or (
            self._raw_parts == other._raw_parts
            and self._overrides == other._overrides
            and (self.environment_id, self.name, self.settings)
            == (other.environment_id, other.name, other.settings)
        )

    def digest(self) -> str:
        """Return a digest that is the same for documents that are the same."""
        digest = sha256(f"{self.environment_id}\0{self.name}\0".encode())
        for raw in self._raw_parts:
            digest.update(raw)
        for identifier, raw in sorted(self._overrides.items(), key=lambda item: item[0]):
            digest.update(identifier.encode())
            digest.update(raw)
        return digest.hexdigest()


def first_page(body: bytes) -> Page:
    """Decode the first page of an environment document.

    :raises InvalidDocumentError: naming the member that is wrong.
    """
    body = json_text(body)
    return Page(body, decode(_first_page, body))


def further_page(body: bytes) -> Page:
    """Decode another page, of which the identity overrides count.

    :raises InvalidDocumentError: naming the member that is wrong.
    """
    body = json_text(body)
    return Page(body, decode(_further_page, body))


def document_of(pages: Sequence[Page], held: Document | None = None) -> Document:
    """Put the pages of an environment document together.

    :param held: an earlier document. What it has in common with this one is taken from there, all
        of it if nothing else is new.
    :raises InvalidDocumentError: naming the member that is wrong.
    """
    bodies = tuple(page.body for page in pages)
    if held is not None and held.pages == bodies:
        return held
    head: Any = pages[0].content
    overrides = {
        override.identifier: override.identity_features
        for page in pages
        for override in page.content.identity_overrides or ()
    }
    held_raws = (None, None) if held is None else held._raw_parts
    document = Document(
        pages=bodies,
        environment_id=head.api_key,
        name=head.name,
        settings=Settings(*(getattr(head, name) for name in Settings.__struct_fields__)),
        feature_states=(
            held.feature_states
            if held is not None and held_raws[0] == head.feature_states
            else decode(_feature_states, head.feature_states, "$.feature_states")
        ),
        project=(
            held.project
            if held is not None and held_raws[1] == head.project
            else decode(_project, head.project, "$.project")
        ),
        _raw_parts=(head.feature_states, head.project),
        _overrides=overrides,
    )
    # The pages may differ all the same: an override's identity_uuid is another one in each answer.
    return held if held is not None and held.is_same_as(document) else document


def decode_flags(body: bytes) -> tuple[FlagState, ...]:
    """Decode a list of flags, as ``flags/`` answers it.

    :raises InvalidDocumentError: naming the member that is wrong.
    """
    return decode(_flags, body)


def decode_identity(body: bytes) -> tuple[FlagState, ...]:
    """Decode an identity's flags, as ``identities/`` answers them.

    :raises InvalidDocumentError: naming the member that is wrong.
    """
    return decode(_identity, json_text(body)).flags
