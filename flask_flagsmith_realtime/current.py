"""``flags``: the flags of the current request, command or task.

An app context takes its flags at the first read and keeps them to its end. They lie in ``g``, so a
context that reads no flag pays nothing. The app's identity loader is called at that first read, and
the flags are then those of the identity that it returns. A loader that reads flags itself, in any
context of that app, reads the environment's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any

from flask import Flask, has_app_context
from flask.ctx import AppContext, _AppCtxGlobals
from flask.globals import app_ctx

from .app_state import state_of
from .exceptions import NotInitializedError
from .identities import IdentityLoader
from .model import Flag, FlagValue, Identity, Traits
from .preview import Preview
from .reading import (
    PREVIEW,
    UNSET,
    Flags,
    Layer,
    OverriddenFlags,
    Reads,
    RecordingFlags,
    Unset,
    WrappedFlags,
)
from .signals import flag_evaluated

#: The name in ``g``.
_FLAGS = "_flagsmith_flags"

#: The apps whose identity loaders run in this context, and the flags that a loader reads. Not in
#: ``g``: another thread that shares the app context must not read these, and a loader may push a
#: context or run in another thread.
_loading: ContextVar[Mapping[Flask, Flags]] = ContextVar("flagsmith_loading")
_NONE: Mapping[Flask, Flags] = {}

#: Returns the current app context. Raises LookupError or RuntimeError if there is none.
_context: Callable[[], AppContext]
try:
    # The context variable behind Flask's proxies: a proxy would triple the cost of a read.
    from flask.globals import _cv_app
except ImportError:
    _context = app_ctx._get_current_object  # type: ignore[attr-defined]
else:
    _context = _cv_app.get


def current_flags() -> Flags:
    """Returns the flags of the current app context.

    :raises NotInitializedError: outside an app context, or if the app has no extension.
    """
    try:
        context = _context()
    except (LookupError, RuntimeError):
        raise NotInitializedError(
            "flags were read outside an app context. Read them in a view, a command or a template, "
            "or inside 'with app.app_context():'."
        ) from None
    # Not getattr(): g is slow to report a missing attribute.
    flags: Flags | None = context.g.__dict__.get(_FLAGS)
    return _bind(context) if flags is None else flags


def flags_of(app: Flask) -> Flags:
    """Returns the flags of the current context, or the newest ones outside a context of that app.

    :raises NotInitializedError: if the app has no extension.
    """
    try:
        context = _context()
    except (LookupError, RuntimeError):
        return state_of(app).flags()
    if context.app is not app:
        return state_of(app).flags()
    flags: Flags | None = context.g.__dict__.get(_FLAGS)
    return _bind(context) if flags is None else flags


def _bind(context: AppContext) -> Flags:
    """Takes the flags for an app context at its first read."""
    app = context.app
    state = state_of(app)
    loading = _loading.get(_NONE)
    if app in loading:
        return loading[app]
    flags = state.flags()
    if state.preview.is_registered and app in state.preview.pages:
        flags = _decide(app, flags, loading, partial(_preview, app, state.preview))
    if flag_evaluated.receivers and (receivers := [*flag_evaluated.receivers_for(app)]):
        flags = RecordingFlags(flags, Reads(app, receivers))
    if state.loader.function is not None:
        flags = _decide(app, flags, loading, partial(_load, app, state.loader))
    # Several threads that share a context all get the flags of the first.
    bound: Flags = context.g.__dict__.setdefault(_FLAGS, flags)
    return bound


def _load(app: Flask, loader: IdentityLoader, flags: Flags) -> Flags:
    """Returns the flags of the identity that the loader names."""
    identity = loader.load(app)
    return flags if identity is None else flags.for_identity(identity)


def _preview(app: Flask, preview: Preview, flags: Flags) -> Flags:
    """Returns the flags as the current request previews them."""
    settings = preview.settings(app)
    known = {name: setting for name, setting in settings.items() if name in flags}
    return OverriddenFlags(flags, (Layer(known, PREVIEW),)) if known else flags


def _decide(
    app: Flask,
    flags: Flags,
    others: Mapping[Flask, Flags],
    decide: Callable[[Flags], Flags],
) -> Flags:
    """Lets a function of the app's decide which flags a context gets.

    :param flags: the flags so far, which the function gets if it reads flags itself.
    :param others: the apps whose functions run in this context already.
    """
    loading = {**others, app: flags}
    token = _loading.set(loading)
    try:
        return decide(flags)
    finally:
        _loading.reset(token)
        # A greenlet that the function has started may have inherited the mapping.
        loading.clear()


def was_read(app: Flask) -> bool:
    """Returns ``True`` if the current context of an app has read flags."""
    context = context_of(app)
    return context is not None and _FLAGS in context


def context_app() -> Flask | None:
    """Returns the app of the current context, or ``None`` outside one."""
    try:
        return _context().app
    except (LookupError, RuntimeError):
        return None


def context_of(app: Flask) -> _AppCtxGlobals | None:
    """Returns ``g`` of the current context, or ``None`` outside a context of that app."""
    return _context().g if context_app() is app else None


def unbind(context: _AppCtxGlobals) -> None:
    """Makes a context take its flags again at its next read."""
    context.pop(_FLAGS, None)


class CurrentFlags(WrappedFlags):
    """Reads as the :class:`Flags` of the context in which it is used."""

    __slots__ = ()

    def __init__(self) -> None:
        pass

    # The methods that read a flag delegate as a whole: the context may record its reads. The
    # others, which Flags defines, work on the members below.

    def is_feature_enabled(self, feature_name: str, default: bool | Unset = UNSET) -> bool:
        return current_flags().is_feature_enabled(feature_name, default)

    def get_feature_value(self, feature_name: str, default: FlagValue | Unset = UNSET) -> FlagValue:
        return current_flags().get_feature_value(feature_name, default)

    def get_flag(self, feature_name: str) -> Flag:
        return current_flags().get_flag(feature_name)

    def get_experiment_flag(self, feature_name: str) -> Flag:
        return current_flags().get_experiment_flag(feature_name)

    def for_identity(
        self,
        identifier: str | Identity,
        traits: Traits | None = None,
        transient: bool = False,
    ) -> Flags:
        return current_flags().for_identity(identifier, traits, transient)

    @property
    def read(self) -> tuple[Flag, ...]:
        return current_flags().read

    @property
    def _below(self) -> Flags:  # type: ignore[override]
        return current_flags()

    def __repr__(self) -> str:
        return super().__repr__() if has_app_context() else "<flags, outside an app context>"

    def __reduce__(self) -> Any:
        return "flags"


#: The flags of the current request, command or task.
flags: Flags = CurrentFlags()
