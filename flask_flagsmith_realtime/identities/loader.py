"""The identity loader: a function of the app that returns the identity of the current request."""

from __future__ import annotations

import contextvars
import inspect
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

from flask import Flask, has_request_context

from .. import logs, signals
from ..model import Identity

logger = logs.SafeLogger(logging.getLogger(__name__))

#: A plain or async function without arguments that returns an identity, or ``None``.
Loader: TypeAlias = Callable[[], Any]

_MOST_CAUSES = 16


class IdentityLoader:
    """Holds the registered function. The read of a flag goes on, also if the function fails."""

    def __init__(self) -> None:
        #: The loader, if there is one.
        self.function: Loader | None = None
        self.is_async = False
        self._causes: set[tuple[str, type, bool]] = set()

    def register(self, function: Any) -> None:
        """Registers a function as the loader.

        :raises TypeError: if it cannot be called without arguments.
        """
        _check(function)
        # Found out once: the check costs as much as many a loader.
        self.is_async = inspect.iscoroutinefunction(function)
        self.function = function

    def load(self, app: Flask) -> Identity | None:
        """Returns the identity of the current request; ``None`` without one, without a loader, and
        if the loader fails."""
        loader = self.function
        if loader is None:
            return None
        try:
            identity = _run(app.ensure_sync(loader)) if self.is_async else loader()
            if identity is None or isinstance(identity, Identity):
                return identity
            raise TypeError(f"It has to return an Identity or None, not {type(identity).__name__}.")
        except Exception as error:
            name, in_request = signals.name_of(loader), has_request_context()
            # Once more outside requests, where a loader that uses the request must fail.
            cause = name, type(error), in_request
            if cause not in self._causes and len(self._causes) < _MOST_CAUSES:
                self._causes.add(cause)
                logger.exception(
                    "The identity loader %s failed%s; the environment's flags serve.",
                    name,
                    "" if in_request else " outside a request",
                    extra=logs.fields("identity_loader_failed"),
                )
            return None


def _run(function: Loader) -> Any:
    # In another thread: that of an async view has an event loop, and there can be no second one.
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1, "flagsmith-identity-loader") as thread:
        return thread.submit(context.run, function).result()


def _check(function: Any) -> None:
    if not callable(function):
        raise TypeError("identity_loader decorates a function: @flagsmith.identity_loader")
    try:
        inspect.signature(function).bind()
    except TypeError:
        raise TypeError(
            f"{signals.name_of(function)} takes arguments, but an identity loader is called "
            "without any: it reads the current user by itself, for example from "
            "flask_login.current_user."
        ) from None
