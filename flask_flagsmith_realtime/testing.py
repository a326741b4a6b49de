"""For tests of apps: say what features are, whatever Flagsmith says.

Overrides lie with the app, so they hold for every thread that serves it: for the test client's
requests, and for those of a live server in a thread of its own. Another process has its own.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar, cast

from flask import Flask
from flask.ctx import _AppCtxGlobals

from . import signals as sent_signals
from .app_state import AppState, state_of
from .current import context_of, unbind
from .model import Snapshot
from .reading import Layer, Override, changes_by, check_overrides, overridden_snapshot

__all__ = ["FlagOverrides", "override_flags"]

_Function = TypeVar("_Function", bound=Callable[..., Any])

#: Held for the few instructions that add a layer to an app, or take one away.
_lock = threading.Lock()


class override_flags:  # noqa: N801 - reads as a statement: with override_flags(…)
    """Override features of an app: a context manager, and a decorator.

    .. code-block:: python

        with override_flags(app, new_checkout=True, banner_text="Hi"):
            client.get("/")

        @override_flags(app, {"my-flag": False})
        def test_without():
            ...

    ``True`` and ``False`` switch a feature and leave its value as it is; any other value, ``None``
    included, is its value and switches it on; a :class:`~flask_flagsmith_realtime.Flag` is taken as
    it is. Overrides nest, and the innermost wins. They hold in every thread, for the environment
    and for every identity, from the next request or app context on, and in the context that they
    are made in. A request that is being answered in another thread keeps the flags that it has.

    Decorated functions and methods may be plain, async, or generators.

    :param app: the app.
    :param flags: features by name, for names that are no Python names.
    :param signals: whether ``flags_changed`` is sent, in this thread, when the overrides come and
        when they go.
    :param more: features by name.
    :raises TypeError: if a feature is given what no flag can be.
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
        self._entered: list[_Entered] = []

    def __enter__(self) -> None:
        state = state_of(self._app)
        entered = _Entered(state, Layer(self._overrides), context_of(state.app), self._signals)
        self._entered.append(entered)
        entered.come()

    def __exit__(self, *_: object) -> None:
        self._entered.pop().go()

    def __call__(self, function: _Function) -> _Function:
        """Decorate a function: the overrides hold while it runs."""
        if isinstance(function, (staticmethod, classmethod)):
            return cast(_Function, type(function)(self(function.__func__)))
        if inspect.isclass(function) or not callable(function):
            raise TypeError("override_flags decorates functions; for a class, decorate its methods")
        return cast(_Function, _while_it_runs(function, self._again))

    def _again(self) -> override_flags:
        # Calls of a decorated function may overlap.
        return override_flags(self._app, self._overrides, signals=self._signals)


class FlagOverrides:
    """What the fixture ``flagsmith_flags`` is: overrides that end with the test.

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
        """Override features, besides those that are overridden already.

        Parameters are those of :class:`override_flags`.
        """
        self._active.enter_context(override_flags(self._app, flags, signals=signals, **more))

    def clear(self) -> None:
        """End all overrides that were set."""
        self._active.close()


class _Entered(NamedTuple):
    """One entry into a ``with`` block."""

    state: AppState
    layer: Layer
    #: Where it was entered may be open still where it ends, and elsewhere than there.
    context: _AppCtxGlobals | None
    signals: bool

    def come(self) -> None:
        before = self._snapshot()
        with _lock:
            self.state.overrides = (*self.state.overrides, self.layer)
        self._tell(before)

    def go(self) -> None:
        before = self._snapshot()
        with _lock:
            # Others may have come meanwhile in other threads, so this need not be the last one.
            self.state.overrides = tuple(
                layer for layer in self.state.overrides if layer is not self.layer
            )
        self._tell(before)

    def _tell(self, before: Snapshot | None) -> None:
        for context in (self.context, context_of(self.state.app)):
            if context is not None:
                unbind(context)
        after = self._snapshot()
        if before is None or after is None:
            return
        changes = changes_by(self.layer, before, after)
        if changes:
            sent_signals.send(
                sent_signals.flags_changed,
                self.state.app,
                changes=changes,
                snapshot=after,
                previous=before,
                leader=True,
            )

    def _snapshot(self) -> Snapshot | None:
        """What a request would read now. Only for the signals."""
        if not self.signals:
            return None
        state = self.state
        return overridden_snapshot(state.realtime.read(), state.config.defaults, state.overrides)


def _while_it_runs(
    function: Callable[..., Any], context: Callable[[], override_flags]
) -> Callable[..., Any]:
    """Wrap a function, of whatever kind, so that a context is open from its call to its end."""
    kind = function
    if not isinstance(function, functools.partial) and not inspect.isroutine(function):
        # An object is called by a method, and that tells.
        kind = type(function).__call__
    if inspect.isasyncgenfunction(kind):

        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            with context():
                async with contextlib.aclosing(function(*args, **kwargs)) as values:
                    async for value in values:
                        yield value

    elif inspect.iscoroutinefunction(kind):

        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            with context():
                return await function(*args, **kwargs)

    elif inspect.isgeneratorfunction(kind):

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with context():
                return (yield from function(*args, **kwargs))

    else:

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with context():
                return function(*args, **kwargs)

    return wrapper
