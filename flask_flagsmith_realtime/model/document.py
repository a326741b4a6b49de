"""Environment documents, and the strict decoding of Flagsmith's answers.

A malformed document is refused as a whole, with the path of the member and what it must be.

The bytes of a document are kept, to be stored, shared and compared. Two documents with the same
bytes for their feature states or segments share the decoded objects. The overrides of an identity
are decoded when that identity is evaluated, so thousands of them cost only their bytes and an
index, and a malformed override affects one identity, not the document.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Annotated, Any

import msgspec
from werkzeug.utils import cached_property

from ..exceptions import InvalidDocumentError
from .decoding import decode, json_text, prepare
from .schema import FeatureStates, FlagState, JSONObject, Project, Settings


class _IdentityOverride(JSONObject, frozen=True):
    identifier: str
    identity_features: msgspec.Raw


class _FurtherPage(JSONObject, frozen=True):
    identity_overrides: tuple[_IdentityOverride, ...]
    updated_at: Any = None


class _FirstPage(Settings, frozen=True, kw_only=True):
    api_key: Annotated[str, msgspec.Meta(min_length=1)]
    name: str
    feature_states: msgspec.Raw
    project: msgspec.Raw
    identity_overrides: tuple[_IdentityOverride, ...] | None = None
    updated_at: Any = None


class _Identity(JSONObject, frozen=True):
    flags: tuple[FlagState, ...]


prepare(_FirstPage, _FurtherPage, _Identity, FeatureStates, Project)


class Page(msgspec.Struct, frozen=True):
    """A page of an environment document. Most documents have one.

    :param body: the page as it came, without a byte order mark.
    :param updated_at: its ``updated_at``, the moment of the environment's last change.
    :param content: what it holds; ``None`` for a page that the held document has, too.
    """

    body: bytes
    updated_at: Any
    content: _FirstPage | _FurtherPage | None = None


class Document(msgspec.Struct, frozen=True, eq=False, dict=True):
    """An environment document.

    :param environment_id: the client-side key, which names the environment's stream.
    :param settings: the environment's settings, as far as they matter here.
    """

    pages: tuple[bytes, ...]
    updated_at: tuple[Any, ...]
    environment_id: str
    name: str
    settings: Settings
    feature_states: FeatureStates
    project: Project
    _raw_parts: tuple[msgspec.Raw, msgspec.Raw]
    _overrides: Mapping[str, msgspec.Raw]

    def __repr__(self) -> str:
        return f"Document(name={self.name!r})"

    def overrides_of(self, identifier: str) -> FeatureStates:
        """Returns the overrides for the identity with exactly that identifier.

        :raises InvalidDocumentError: if they are malformed.
        """
        raw = self._overrides.get(identifier)
        return () if raw is None else decode(FeatureStates, raw)

    def overridden_features(self) -> set[str]:
        """Returns the names of all features that are overridden for some identity. Decodes the
        overrides of all identities."""
        names = set()
        for identifier in self._overrides:
            with contextlib.suppress(InvalidDocumentError):
                names |= {state.feature.name for state in self.overrides_of(identifier)}
        return names

    def identifiers_with_other_overrides(self, other: Document) -> Sequence[str]:
        """Returns the identifiers whose overrides have other bytes in another document."""
        own, others = self._overrides, other._overrides
        if own == others:
            return ()
        differing = [name for name, raw in own.items() if others.get(name) != raw]
        return [*differing, *(name for name in others if name not in own)]

    def is_same_as(self, other: Document) -> bool:
        """Returns ``True`` if all parts that are used are the same bytes in two documents."""
        return self.pages == other.pages or (
            self._raw_parts == other._raw_parts
            and self._overrides == other._overrides
            and (self.environment_id, self.name, self.settings)
            == (other.environment_id, other.name, other.settings)
        )

    @cached_property
    def digest(self) -> str:
        """A digest that is the same for documents that are the same."""
        digest = sha256(msgspec.json.encode((self.environment_id, self.name, self.settings)))
        for raw in self._raw_parts:
            digest.update(raw)
        for identifier, raw in sorted(self._overrides.items(), key=lambda item: item[0]):
            digest.update(identifier.encode())
            digest.update(raw)
        return digest.hexdigest()


def first_page(body: bytes, held: Document | None = None) -> Page:
    """Decodes the first page of an environment document.

    :param held: an earlier document. A page that it has, too, is not decoded again.
    :raises InvalidDocumentError: naming the member that is wrong.
    """
    return _page(_FirstPage, body, held)


def further_page(body: bytes, held: Document | None = None) -> Page:
    """Decodes another page, of which the identity overrides count. See :func:`first_page`."""
    return _page(_FurtherPage, body, held)


def document_of(pages: Sequence[Page], held: Document | None = None) -> Document:
    """Puts the pages of an environment document together.

    :param held: an earlier document. Parts that are equal are taken from it, not decoded again; if
        all are, it is returned itself.
    :raises InvalidDocumentError: naming the member that is wrong.
    """
    bodies = tuple(page.body for page in pages)
    if held is not None and held.pages == bodies:
        return held
    first, *further = pages
    head: Any = first.content or decode(_FirstPage, first.body)
    contents = [page.content or decode(_FurtherPage, page.body) for page in further]
    states, project = (None, None) if held is None else held._raw_parts
    document = Document(
        pages=bodies,
        updated_at=tuple(page.updated_at for page in pages),
        environment_id=head.api_key,
        name=head.name,
        settings=Settings(*(getattr(head, name) for name in Settings.__struct_fields__)),
        feature_states=(
            held.feature_states
            if held is not None and states == head.feature_states
            else decode(FeatureStates, head.feature_states, "$.feature_states")
        ),
        project=(
            held.project
            if held is not None and project == head.project
            else decode(Project, head.project, "$.project")
        ),
        _raw_parts=(head.feature_states, head.project),
        _overrides={
            override.identifier: override.identity_features
            for content in (head, *contents)
            for override in content.identity_overrides or ()
        },
    )
    # The bytes can differ all the same: an override's identity_uuid differs from answer to answer.
    return held if held is not None and held.is_same_as(document) else document


def decode_identity(body: bytes) -> tuple[FlagState, ...]:
    """Decodes an answer of ``identities/``.

    :raises InvalidDocumentError: naming the member that is wrong.
    """
    return decode(_Identity, json_text(body)).flags


def _page(kind: type[_FirstPage | _FurtherPage], body: bytes, held: Document | None) -> Page:
    if held is not None:
        for known, updated_at in zip(held.pages, held.updated_at, strict=True):
            if known == body:
                return Page(known, updated_at)
    body = json_text(body)
    content = decode(kind, body)
    return Page(body, content.updated_at, content)
