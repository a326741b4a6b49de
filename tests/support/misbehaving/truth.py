"""The versions of the environment: the current one, and all before."""

from __future__ import annotations

import copy
import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from typing import Any

from tests.support import recorded

SERVER_SIDE_KEY = "ser.MisbehavingServerSideKey"
CLIENT_SIDE_KEY = "MisbehavingClientSideKey"

#: For :meth:`Truth.change`: leaves the value as it is, which may be ``None``.
UNCHANGED: Any = object()


@dataclass(frozen=True, eq=False)
class Version:
    """The environment between two changes.

    :param document: the environment document. Not to be changed.
    :param epoch: the time of the change, in seconds since 1970.
    :param since: the time of the change by the monotonic clock.
    """

    document: dict[str, Any]
    epoch: float
    since: float

    @cached_property
    def body(self) -> bytes:
        """The body of ``environment-document/``."""
        return json.dumps(self.document).encode()

    def flags(self, identifier: str | None = None) -> list[dict[str, Any]]:
        """Return the flags as ``flags/`` and ``identities/`` answer them, without segments."""
        states = {state["feature"]["name"]: state for state in self.document["feature_states"]}
        for override in self.document["identity_overrides"]:
            if override["identifier"] == identifier:
                for state in override["identity_features"]:
                    states[state["feature"]["name"]] = state
        return [
            {
                "id": state["django_id"],
                "feature": state["feature"],
                "feature_state_value": state["feature_state_value"],
                "environment": 1,
                "identity": None,
                "feature_segment": None,
                "enabled": state["enabled"],
            }
            for state in states.values()
        ]

    def feature(self, name: str) -> dict[str, Any]:
        """Return the state of one feature."""
        return _feature_state(self.document, name)


class Truth:
    """All versions of the environment. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        document = json.dumps(recorded.environment_document())
        self._versions: deque[Version] = deque(maxlen=10_000)
        self._append(json.loads(document.replace("ENVIRONMENT_ID", CLIENT_SIDE_KEY)), time.time())

    @property
    def version(self) -> Version:
        """The current version."""
        return self._versions[-1]

    def version_before(self, seconds: float) -> Version:
        """Return the version of so many seconds ago."""
        moment = time.monotonic() - seconds
        with self._lock:
            versions = list(self._versions)
        return next((v for v in reversed(versions) if v.since <= moment), versions[0])

    def change(
        self, feature: str, *, enabled: bool | None = None, value: Any = UNCHANGED
    ) -> Version:
        """Change a feature.

        :returns: the new version, whose epoch is newer than all before.
        """

        def set_feature(document: dict[str, Any]) -> None:
            state = _feature_state(document, feature)
            if enabled is not None:
                state["enabled"] = enabled
            if value is not UNCHANGED:
                state["feature_state_value"] = value

        return self.edit(set_feature)

    def edit(self, edit: Callable[[dict[str, Any]], None]) -> Version:
        """Change anything: ``edit`` changes a copy of the document in place."""
        with self._lock:
            document = copy.deepcopy(self.version.document)
            edit(document)
            return self._append(document, max(time.time(), self.version.epoch + 0.000_01))

    def restore(self, version: Version) -> Version:
        """Restore an older version with its epoch, as a restored backup does."""
        with self._lock:
            restored = Version(version.document, version.epoch, time.monotonic())
            self._versions.append(restored)
            return restored

    def _append(self, document: dict[str, Any], seconds: float) -> Version:
        moment = datetime.fromtimestamp(seconds, timezone.utc)
        document["updated_at"] = moment.isoformat()
        version = Version(document, moment.timestamp(), time.monotonic())
        self._versions.append(version)
        return version


def _feature_state(document: dict[str, Any], name: str) -> dict[str, Any]:
    state: dict[str, Any] = next(
        state for state in document["feature_states"] if state["feature"]["name"] == name
    )
    return state
