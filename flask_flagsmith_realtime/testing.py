"""Overrides of features, for tests of apps.

Overrides belong to the app, so they hold in every thread that serves it: for the test client's
requests, and for those of a live server in another thread. They do not reach other processes.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

from flask import Flask

from . import signals as sent_signals
from .app_state import state_of
from .current import context_of, unbind
from .model import Snapshot, diff
from .reading import Layer, Override, check_overrides, overridden_snapshot
from .reporting import Event

__all__ = ["FlagOverrides", "override_flags"]

_Function = TypeVar("_Function", bound=Callable[..., Any])

#: Held while a layer is added to an app or removed.
_lock = threading.Lock()


class override_flags:  # noqa: N801 - reads as a statement: with override_flags(…)
    """Override features of an app: a context manager, and a decorator.

    .. code-block:: python

        with override_flags(app, new_checkout=True, banner_text="Hi"):
            client.get("/")

        @override_flags(app, {"my-flag": False})
        def test_without():
            ...

    ``True`` and ``False`` switch a feature and keep its value; any other value, ``None`` included,
    becomes its value and switches it on; a :class:`~flask_flagsmith_realtime.Flag` is used
    unchanged. Overrides nest, and the innermost wins. They hold in every thread, for the
    environment and for every identity, from the next request or app context on, and in the current
    context. A request that another thread is answering keeps its flags.

    It decorates functions and methods, plain or async.

    :param app: the app.
    :param flags: features by name, for names that are not Python identifiers.
    :param signals: send ``flags_changed``, in this thread, when the overrides begin and end.
    :param more: features by name.
    :raises TypeError: if an override is of a type that no flag can have, or if it decorates
        anything else.
    """

    def __init__(
        self,
        app: Flask,
        flags: Mapping[str, Override] | None = None,
        /,
        *,
        signals: bool = False,
        **more: Override,
    ) -> None:
        self._app = app
        self._overrides = check_overrides({**(flags or {}), **more})
        self._signals = signals
        self._entered: list[AbstractContextManager[None]] = []

    def __enter__(self) -> None:
        context = _override(self._app, self._overrides, self._signals)
        context.__enter__()
        self._entered.append(context)

    def __exit__(self, *_: object) -> None:
        self._entered.pop().__exit__(None, None, None)

    def __call__(self, function: _Function) -> _Function:
        """Decorates a function: the overrides hold while it runs."""
        if isinstance(function, (staticmethod, classmethod)):
            return cast(_Function, type(function)(self(function.__func__)))
        if (
            not inspect.isroutine(function)
            or inspect.isgeneratorfunction(function)
            or inspect.isasyncgenfunction(function)
        ):
            raise TypeError(
                "override_flags decorates functions and methods, plain or async; for a class, "
                "decorate its methods; in a generator, write 'with override_flags(…):'"
            )
        decorated: Callable[..., Any]
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def decorated(*args: Any, **kwargs: Any) -> Any:
                with self._copy():
                    return await function(*args, **kwargs)

        else:

            @functools.wraps(function)
            def decorated(*args: Any, **kwargs: Any) -> Any:
                with self._copy():
                    return function(*args, **kwargs)

        return cast(_Function, decorated)

    def _copy(self) -> override_flags:
        # Calls of a decorated function may overlap.
        return override_flags(self._app, self._overrides, signals=self._signals)


class FlagOverrides:
    """The fixture ``flagsmith_flags``: overrides that end with the test.

    :param app: the app under test.
    """

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._active = contextlib.ExitStack()

    def set(
        self,
        flags: Mapping[str, Override] | None = None,
        /,
        *,
        signals: bool = False,
        **more: Override,
    ) -> None:
        """Overrides more features.

        Parameters are those of :class:`override_flags`.
        """
        self._active.enter_context(override_flags(self._app, flags, signals=signals, **more))

    @property
    def events(self) -> list[Event]:
        """The exposures and tracked events of the app so far, the oldest first.

        They are kept while ``app.testing`` is set, and sent nowhere.
        """
        return list(state_of(self._app).reporter.kept_events)

    def clear(self) -> None:
        """Ends all overrides, and forgets the events."""
        self._active.close()
        state_of(self._app).reporter.kept_events.clear()


@contextlib.contextmanager
def _override(app: Flask, overrides: Mapping[str, Override], signals: bool) -> Iterator[None]:
    """Lays overrides over an app's flags."""
    state, layer = state_of(app), Layer(overrides)
    # The block can end in another app context than the one around it.
    around = context_of(state.app)

    def snapshot() -> Snapshot | None:
        """Returns the snapshot that a request would read now; ``None`` if no signal needs it."""
        if not signals:
            return None
        return overridden_snapshot(state.engine.read(), state.config.defaults, state.overrides)

    def replace(layers: Callable[[tuple[Layer, ...]], tuple[Layer, ...]]) -> None:
        before = snapshot()
        with _lock:
            state.overrides = layers(state.overrides)
        for context in (around, context_of(state.app)):
            if context is not None:
                unbind(context)
        after = snapshot()
        changes = diff(before, after) if before and after else None
        if changes:
            sent_signals.send(
                sent_signals.flags_changed,
                state.app,
                changes=changes,
                snapshot=after,
                previous=before,
                leader=True,
            )

    replace(lambda layers: (*layers, layer))
    try:
        yield
    finally:
        # Other threads may have added layers meanwhile: this need not be the last one.
        replace(lambda layers: tuple(other for other in layers if other is not layer))
