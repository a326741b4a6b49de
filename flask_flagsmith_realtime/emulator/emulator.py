"""The :class:`Emulator`: starts and stops it, and changes what it serves."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from . import edits, experiments
from .api import StreamOptions
from .app import create_app
from .document import Document, TraitValue, Value
from .edits import UNSET, Unset
from .server import HOST, Server
from .state import State

#: How long :meth:`Emulator.stop` waits for open streams to end.
_FAREWELL_SECONDS = 0.5


class Emulator:
    """A local Flagsmith: REST API, stream and page, on loopback.

    .. code-block:: python

        with Emulator() as emulator:
            app.config.update(emulator.config)
            emulator.set_flag("new_checkout", enabled=True)

    :param port: the port to listen on; 0 takes a free one.
    :param state: the path of the state file: read if it exists, written on every change. Without
        one, changes are lost at the end.
    :param document: the environment document to start with if there is no state file yet; the
        sample, a tea shop's, if not given.
    :param page_size: how many identity overrides are on a page of the environment document; without
        it, all are and there are no pages.
    :param greeting: the stream sends the current epoch to a new connection.
    :param heartbeat_seconds: after so long without an event, the stream sends a comment.
    :param recycle_seconds: how long a stream stays open.
    :param server_side_key: starts with ``ser.``; made from the client-side key if not given.
    :raises StateFileError: if the state file cannot be used.
    :raises DocumentError: if the document is not an environment document.
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
        options = StreamOptions(greeting, heartbeat_seconds, recycle_seconds)
        self._app = create_app(self._state, options, page_size)
        self._port = port
        self._server: Server | None = None

    def __enter__(self) -> Emulator:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Emulator:
        """Listen. After a :meth:`stop`, on the same port as before.

        :raises ServerError: if it cannot listen on the port.
        """
        if self._server is None:
            self._server = Server(self._app, self._port)
            self._port = self._server.port
        return self

    def stop(self) -> None:
        """Stops listening and ends all streams."""
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
    def analytics_url(self) -> str:
        """The address for usage analytics, for ``FLAGSMITH_ANALYTICS_URL``."""
        return f"{self.api_url}analytics/flags/"

    @property
    def events_api_url(self) -> str:
        """The events' address, for ``FLAGSMITH_EVENTS_API_URL``."""
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
        """The settings with which an app uses the emulator, with local evaluation."""
        return {
            "FLAGSMITH_ENVIRONMENT_KEY": self.server_side_key,
            "FLAGSMITH_API_URL": self.api_url,
            "FLAGSMITH_REALTIME_API_URL": self.realtime_api_url,
            "FLAGSMITH_EVENTS_API_URL": self.events_api_url,
        }

    @property
    def document(self) -> Document:
        """The current environment document. It must not be changed."""
        return self._state.environment.document

    @property
    def epoch(self) -> float:
        """The time of the environment's last change, in seconds since 1970."""
        return self._state.environment.epoch

    @property
    def calls(self) -> Counter[str]:
        """The API calls so far by path: ``Counter({"environment-document/": 3})``."""
        return self._state.journal.calls

    @property
    def analytics(self) -> Counter[str]:
        """The reported evaluations by feature: ``Counter({"new_checkout": 12})``."""
        return self._state.usage.evaluations

    @property
    def events(self) -> list[dict[str, Any]]:
        """The accepted events, the oldest first: exposures to experiments, and what users did.

        The last 10,000 are kept. Each has the members ``event``, ``feature_name``, ``identifier``,
        ``value``, ``traits``, ``metadata`` and ``timestamp`` (in milliseconds).
        """
        return self._state.usage.events

    @property
    def streams(self) -> int:
        """The number of open streams."""
        return self._state.listeners.count

    @property
    def streams_opened(self) -> int:
        """The number of streams that were opened so far."""
        return self._state.listeners.opened

    def wait_for_streams(self, count: int, timeout: float = 30.0) -> bool:
        """Waits until exactly so many streams are open.

        :param timeout: the longest wait, in seconds.
        :returns: whether they are.
        """
        return self._state.listeners.wait_for(count, timeout)

    def silent(self) -> AbstractContextManager[None]:
        """Announces no change that is made within the ``with`` block, and keeps the epoch.

        So goes live a feature's version that was published on a schedule, and so an app sees an
        announcement that was lost: the change shows at the next poll.
        """
        return self._state.silent()

    def lag_header(self, seconds: float) -> None:
        """Lets the header with the epoch lag behind each change, as a real server's cache does.

        The bodies are new at once. On a real server it lags for up to 60 seconds.

        :param seconds: how long; 0 ends it.
        """
        self._state.lag_header(seconds)

    def end_streams(self) -> None:
        """Ends all streams that are open now, as the service does when it recycles them."""
        self._state.listeners.end_all()

    def set_flag(
        self, name: str, *, enabled: bool | None = None, value: Value | Unset = UNSET
    ) -> float:
        """Sets a feature's state in the environment; an unknown feature is created, off.

        Like every change but that of traits, it is announced on the stream.

        :returns: the new epoch.
        :raises EditError: if the name is empty or the value has the wrong type.
        """
        return self._state.announce(lambda d: edits.set_flag(d, name, enabled, value))

    def delete_flag(self, name: str) -> float:
        """Removes a feature, with all its overrides."""
        return self._state.announce(lambda d: edits.delete_flag(d, name))

    def set_variants(self, name: str, variants: Mapping[str, float]) -> float:
        """Sets a feature's variants: each value with the percentage of identities that get it."""
        return self._state.announce(lambda d: edits.set_variants(d, name, variants))

    def set_segment(
        self,
        name: str,
        rules: list[dict[str, Any]],
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> float:
        """Sets a segment's rules and overrides; an unknown segment is created.

        :param rules: as in an environment document; an identity is in the segment if all match.
        :param overrides: ``{"beta_dashboard": {"enabled": True, "value": None}}``; what is left out
            is copied from the environment.
        """
        return self._state.announce(lambda d: edits.set_segment(d, name, rules, overrides or {}))

    def delete_segment(self, name: str) -> float:
        """Removes a segment, with its overrides."""
        return self._state.announce(lambda d: edits.delete_segment(d, name))

    def override_segment(
        self,
        segment: str,
        feature: str,
        *,
        enabled: bool | None = None,
        value: Value | Unset = UNSET,
    ) -> float:
        """Overrides a feature for a segment."""
        return self._state.announce(
            lambda d: edits.override_segment(d, segment, feature, enabled, value)
        )

    def delete_segment_override(self, segment: str, feature: str) -> float:
        """Removes a segment's override of a feature."""
        return self._state.announce(lambda d: edits.delete_segment_override(d, segment, feature))

    def override_identity(
        self,
        identifier: str,
        feature: str,
        *,
        enabled: bool | None = None,
        value: Value | Unset = UNSET,
    ) -> float:
        """Overrides a feature for one identity."""
        return self._state.announce(
            lambda d: edits.override_identity(d, identifier, feature, enabled, value)
        )

    def delete_identity_override(self, identifier: str, feature: str) -> float:
        """Removes one identity's override of a feature."""
        return self._state.announce(
            lambda d: edits.delete_identity_override(d, identifier, feature)
        )

    def set_traits(self, identifier: str, **traits: TraitValue) -> None:
        """Sets traits of an identity; ``None`` removes one. Flagsmith does not announce it."""
        self._state.amend(lambda d: edits.set_traits(d, identifier, traits))

    def set_experiment(
        self, feature: str, name: str, variants: Mapping[Any, float], *, rollout: float = 100
    ) -> float:
        """Runs an experiment on a feature with variants; one that runs already is replaced.

        Identities in the experiment get ``flag.experiment.in_experiment``.

        :param name: the experiment's name.
        :param variants: the percentage of the experiment's identities that get each variant, by the
            variant's value; the rest get the control value. A variant without a key gets its value
            as the key.
        :param rollout: the percentage of all identities that are in the experiment.
        """
        return self._state.announce(
            lambda d: experiments.set_experiment(d, feature, name, variants, rollout)
        )

    def end_experiment(self, feature: str) -> float:
        """Ends the experiment on a feature, and removes its rollout."""
        return self._state.announce(lambda d: experiments.end_experiment(d, feature))
