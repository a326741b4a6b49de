"""A feature that neither Flagsmith nor ``FLAGSMITH_DEFAULTS`` has: logged once, or raised."""

from __future__ import annotations

import difflib
import keyword
import logging
from collections.abc import Callable, Iterable

from .. import logs
from ..config import Config
from ..exceptions import FeatureNotFoundError
from ..model import Snapshot

logger = logs.SafeLogger(logging.getLogger(__name__))

#: Called with the name, the snapshot and the names that there are, overrides included, at each read
#: of a missing feature. May raise.
OnMissing = Callable[[str, "Snapshot | None", Iterable[str]], None]


class MissingFeatures:
    """Logs each missing feature once; in strict mode it raises instead.

    :param is_testing: returns ``app.testing``, which may change after the start.
    """

    _MOST_LOGGED = 1000
    _METHODS = ("is_feature_enabled", "get_feature_value", "get_flag", "all_flags", "for_identity")

    def __init__(self, config: Config, is_testing: Callable[[], bool]) -> None:
        self._strict = config.strict
        self._is_testing = is_testing
        self._logged: set[str] = set()

    def __call__(self, feature_name: str, snapshot: Snapshot | None, known: Iterable[str]) -> None:
        """Reports a missing feature.

        :raises FeatureNotFoundError: in strict mode, but not before Flagsmith's first answer: a
            read never fails because Flagsmith does.
        """
        if self._strict and (snapshot is not None or self._is_testing()):
            message = self._message(feature_name, snapshot, known)
            raise FeatureNotFoundError(feature_name, message)
        is_new = feature_name not in self._logged and len(self._logged) < self._MOST_LOGGED
        if snapshot is not None and is_new:
            self._logged.add(feature_name)
            logger.warning(
                "%s The feature reads as disabled.",
                self._message(feature_name, snapshot, known),
                extra=logs.fields("feature_missing", feature=feature_name),
            )

    def _message(self, feature_name: str, snapshot: Snapshot | None, known: Iterable[str]) -> str:
        missing = f"The environment has no feature {feature_name!r}"
        if nearest := difflib.get_close_matches(feature_name, list(known), n=1, cutoff=0.6):
            missing += f"; did you mean {nearest[0]!r}?"
            if not self._is_testing():
                return missing
        # flags.is_enabled(…) reads a feature of that name, and then calls it.
        elif methods := difflib.get_close_matches(feature_name, self._METHODS, n=1, cutoff=0.7):
            return f"{missing}; did you mean flags.{methods[0]}(…)?"
        if self._is_testing():
            otherwise = " Otherwise," if nearest else ";"
            given = f"{{{feature_name!r}: …}}"
            if feature_name.isidentifier() and not keyword.iskeyword(feature_name):
                given = f"{feature_name}=…"
            return (
                f"{missing}{otherwise} in a test, set it: flagsmith_flags.set({given}) or "
                f"override_flags(app, {given}); or give a default in the call or in "
                "FLAGSMITH_DEFAULTS."
            )
        way_out = "create it, or give a default in the call or in FLAGSMITH_DEFAULTS."
        if snapshot is not None and snapshot.document is not None:
            project = snapshot.document.project.name
            way_out += f" It is the environment {snapshot.document.name!r}"
            way_out += f" in {project!r}." if project else "."
        return f"{missing}; {way_out}"
