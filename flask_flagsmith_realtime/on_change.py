"""What an app has called on a change of single features."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from flask import Flask

from . import signals
from .changes import FlagChange


class OnChange:
    """The functions that are called on a change of single features."""

    def __init__(self) -> None:
        self._functions: list[tuple[frozenset[str], Callable[[FlagChange], Any]]] = []

    def register(
        self, feature_names: Collection[str], function: Callable[[FlagChange], Any]
    ) -> None:
        """Have a function called when one of these features changes."""
        self._functions.append((frozenset(feature_names), function))

    def tell(self, app: Flask, changes: Mapping[str, FlagChange], **_: Any) -> None:
        """Call them: a receiver of ``flags_changed``."""
        for names, function in self._functions:
            for name in sorted(names & changes.keys()):
                signals.call(app, function, f"called on a change of {name}", changes[name])
