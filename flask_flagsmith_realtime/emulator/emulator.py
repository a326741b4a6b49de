"""The emulator as an object: its life, its addresses, its changes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

from . import edits
from .app import create_app
from .document import Document, TraitValue, Value
from .edits import UNSET, Unset
from .server import HOST, Server
from .state import State
from .stream import Manners

#: How long stopping waits for open streams to end.
_FAREWELL_SECONDS = 0.5


class Emulator:
    """A local Flagsmith: REST API, stream and page, on loopback.

    .. code-block:: python

        with Emulator() as emulator:
            app.config.update(emulator.config)
            emulator.set_flag("new_checkout", enabled=True)

    :param port: the port to listen on; 0 takes a free one.
    :param state: the state file: read if it exists, written on every change. Without one, nothing
        is kept.
    :param document: the environment document to start with if there is no state file yet; a shop's
        if not given.
    :param page_size: how many identity overrides are on a page of the environment document; without
        it, all are and there are no pages.
    :param greeting: whether the stream tells a new connection the current epoch.
    :param heartbeat_seconds: how often a silent stream sends a comment.
    :param recycle_seconds: how long a stream lives.
    :param server_side_key: starts with ``ser.``; made from the client-side key if not given.
    :raises StateFileError: if the state file cannot be used.
    :raises DocumentError: if the document is no environment document.
    """

    def __init__(
        self,
        port: int = 0,
        state: str | os.PathLike[str] | None = None,
        document: Document | None = None,
        *,
        page_size: int | None = None,
        greeting: bool = True,
        heartbeat_seconds: float = 10.0,
        recycle_seconds: float = 30.0,
        server_side_key: str | None = None,
    ) -> None:
        self._state = State(document, state, server_side_key)
        manners = Manners(greeting, heartbeat_seconds, recycle_seconds)
        self._app = create_app(self._state, manners, page_size)
        self._port = port
        self._server: Server | None = None

    def __enter__(self) -> Emulator:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Emulator:
        """Listen. After a :meth:`stop`, on the same port as before.

        :raises ServerError: if the port cannot be had.
        """
        if self._server is None:
            self._server = Server(self._app, self._port)
            self._port = self._server.port
        return self

    def stop(self) -> None:
        """Stop listening and end all streams."""
        if self._server is None:
            return
        self._server.stop()
        self._server = None
        self.end_streams()
        self.wait_for_streams(0, timeout=_FAREWELL_SECONDS)

    @property
    def url(self) -> str:
        """The page's address, and the root of all others."""
        if not self._port:
            raise RuntimeError("The emulator has no address yet: start it first.")
        return f"http://{HOST}:{self._port}/"

    @property
    def api_url(self) -> str:
        """The API's address, for ``FLAGSMITH_API_URL``."""
        return f"{self.url}api/v1/"

    @property
    def realtime_api_url(self) -> str:
        """The stream's address, for ``FLAGSMITH_REALTIME_API_URL``."""
        return self.url

    @property
    def client_side_key(self) -> str:
        """The environment's id: the key for remote evaluation."""
        return self._state.environment.client_side_key

    @property
    def server_side_key(self) -> str:
        """The key for local evaluation."""
        return self._state.server_side_key

    @property
    def config(self) -> dict[str, str]:
        """What an app needs in ``app.config`` to use the emulator, with local evaluation."""
        return {
            "FLAGSMITH_ENVIRONMENT_KEY": self.server_side_key,
            "FLAGSMITH_API_URL": self.api_url,
            "FLAGSMITH_REALTIME_API_URL": self.realtime_api_url,
        }

    @property
    def document(self) -> Document:
        """The environment document as it is now. It is not to be changed."""
        return self._state.environment.document

    @property
    def epoch(self) -> float:
        """When the environment last changed, in seconds since 1970."""
        return self._state.environment.epoch

    @property
    def calls(self) -> Counter[str]:
        """The API calls so far by path: ``Counter({"environment-document/": 3})``."""
        return self._state.journal.calls

    @property
    def streams(self) -> int:
        """How many streams are open now."""
        return self._state.listeners.count

    @property
    def streams_opened(self) -> int:
        """How many streams were opened so far."""
        return self._state.listeners.opened

    def wait_for_streams(self, count: int, timeout: float = 30.0) -> bool:
        """Wait until exactly so many streams are open.

        :returns: whether they were within ``timeout`` seconds.
        """
        return self._state.listeners.wait_for(count, timeout)

    def end_streams(self) -> None:
        """End all streams that are open now, as the service does when it recycles them."""
        self._state.listeners.end_all()

    def set_flag(
        self, name: str, *, enabled: bool | None = None, value: Value | Unset = UNSET
    ) -> float:
        """Set a feature's state in the environment; an unknown feature is created, off.

        Like every change but those for one identity, it is announced on the stream.

        :returns: the new epoch.
        :raises EditError: if it cannot be done.
        """
        return self._state.announce(lambda d: edits.set_flag(d, name, enabled, value))

    def delete_flag(self, name: str) -> float:
        """Remove a feature, with all its overrides."""
        return self._state.announce(lambda d: edits.delete_flag(d, name))

    def set_variants(self, name: str, variants: Mapping[str, float]) -> float:
        """Give a feature variants: each value with the per cent of identities that get it."""
        return self._state.announce(lambda d: edits.set_variants(d, name, variants))

    def set_segment(
        self,
        name: str,
        rules: list[dict[str, Any]],
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> float:
        """Set a segment's rules and overrides; an unknown segment is created.

        :param rules: as in an environment document; an identity is in the segment if all match.
        :param overrides: ``{"beta_dashboard": {"enabled": True, "value": None}}``; what is left out
            is as in the environment.
        """
        return self._state.announce(lambda d: edits.set_segment(d, name, rules, overrides or {}))

    def delete_segment(self, name: str) -> float:
        """Remove a segment, with its overrides."""
        return self._state.announce(lambda d: edits.delete_segment(d, name))

    def override_segment(
        self,
        segment: str,
        feature: str,
        *,
        enabled: bool | None = None,
        value: Value | Unset = UNSET,
    ) -> float:
        """Override a feature for a segment."""
        return self._state.announce(
            lambda d: edits.override_segment(d, segment, feature, enabled, value)
        )

    def delete_segment_override(self, segment: str, feature: str) -> float:
        """Remove a segment's override of a feature."""
        return self._state.announce(lambda d: edits.delete_segment_override(d, segment, feature))

    def override_identity(
        self,
        identifier: str,
        feature: str,
        *,
        enabled: bool | None = None,
        value: Value | Unset = UNSET,
    ) -> None:
        """Override a feature for one identity. As on Flagsmith, nobody is told."""
        self._state.amend(lambda d: edits.override_identity(d, identifier, feature, enabled, value))

    def delete_identity_override(self, identifier: str, feature: str) -> None:
        """Remove one identity's override of a feature. As on Flagsmith, nobody is told."""
        self._state.amend(lambda d: edits.delete_identity_override(d, identifier, feature))

    def set_traits(self, identifier: str, **traits: TraitValue) -> None:
        """Add to an identity's traits; ``None`` removes one. As on Flagsmith, nobody is told."""
        self._state.amend(lambda d: edits.set_traits(d, identifier, traits))
