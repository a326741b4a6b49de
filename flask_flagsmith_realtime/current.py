"""``flags``: the flags of the current request, command or task.

An app context gets its flags at the first read and keeps them to its end. They lie in ``g``, so
that a context which reads none pays nothing. An app's identity loader is asked at that first read,
and the flags are then those for whom it names; what it reads itself, in whatever context of that
app, are the environment's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, TypeAlias

from flask import Flask, has_app_context
from flask.ctx import AppContext, _AppCtxGlobals
from flask.globals import app_ctx

from .exceptions import NotInitializedError
from .identities import IdentityFlags, IdentityLoader
from .model import Flag, FlagValue, Identity, Snapshot, TraitValue
from .reading import UNSET, Flags, Identities, OnMissing, Unset

#: Where the extension keeps what belongs to an app, in ``app.extensions``.
EXTENSION = "flagsmith_realtime"

_NOTHING: Mapping[str, Flag] = {}

_BOUND = "_flagsmith_flags"
_Lookup: TypeAlias = "Callable[[str], Flag | None]"
#: What lies there: flags; for whom they are to be made flags when somebody needs all of them; and
#: two ways to find one without that: the first, then the second. What neither finds may be there.
Bound: TypeAlias = "tuple[Flags, Identity | None, _Lookup, _Lookup]"

#: The apps whose identity loaders are at work here, and what is read of their flags meanwhile. Not
#: in ``g``: other threads of a context must not take those for theirs, and a loader may push a
#: context, or be run by another thread.
_loading: ContextVar[Mapping[Flask, Bound]] = ContextVar("flagsmith_loading")
_NOBODY: Mapping[Flask, Bound] = {}

#: Gives the current app context. Raises LookupError or RuntimeError if there is none.
_context: Callable[[], AppContext]
try:
    # What stands behind Flask's proxies: each read of a flag would pay three times for a proxy.
    from flask.globals import _cv_app
except ImportError:
    _context = app_ctx._get_current_object  # type: ignore[attr-defined]
else:
    _context = _cv_app.get


def current_flags() -> Flags:
    """The flags of the current app context.

    :raises NotInitializedError: outside an app context, or if the app has no extension.
    """
    flags, identity, first, second = _current()
    if identity is not None:
        flags = flags.for_identity(identity)
        _context().g.__dict__[_BOUND] = flags, None, first, second
    return flags


def _current() -> Bound:
    try:
        context = _context()
    except (LookupError, RuntimeError):
        raise NotInitializedError(
            "flags were read outside an app context. Read them in a view, a command or a template, "
            "or inside 'with app.app_context():'."
        ) from None
    # Not getattr(): g takes its time to say that there is no such attribute.
    return context.g.__dict__.get(_BOUND) or _bind(context)


def _bind(context: AppContext) -> Bound:
    app = context.app
    try:
        state = app.extensions[EXTENSION]
    except KeyError:
        raise NotInitializedError(
            f"The app {app.name!r} has no flags: call FlagsmithRealtime(app), or "
            "flagsmith.init_app(app), where the app is made."
        ) from None
    bound: Bound
    if state.loader.function is None:
        bound = state.bound()
    else:
        loading = _loading.get(_NOBODY)
        if app in loading:
            return loading[app]
        bound = _load(app, state.loader, state.bound(), loading)
    # Of several threads that share a context, all get the flags of the first.
    bound = context.g.__dict__.setdefault(_BOUND, bound)
    return bound


def _load(app: Flask, loader: IdentityLoader, bound: Bound, others: Mapping[Flask, Bound]) -> Bound:
    """Ask the identity loader, and give what is to be read in the context.

    :param bound: the environment's flags.
    :param others: the apps whose loaders are at work here already.
    """
    loading = {**others, app: bound}
    token = _loading.set(loading)
    try:
        identity = loader.load(app)
        return bound if identity is None else bind(bound[0], identity)
    finally:
        _loading.reset(token)
        # What the loader has started, such as a greenlet, may have inherited it.
        loading.clear()


def bind(flags: Flags, identity: Identity | None = None) -> Bound:
    """Make what is kept for the reads of an app context."""
    mapping = flags._flags if identity is None else flags._flags_of(identity)
    if type(mapping) is IdentityFlags:
        # In this order: most features are the same for everybody.
        return flags, identity, mapping.untargeted.get, mapping.own.get
    return flags, identity, mapping.get, _NOTHING.get


def context_app() -> Flask | None:
    """The app of the current context; ``None`` outside any."""
    return _context().app if has_app_context() else None


def context_of(app: Flask) -> _AppCtxGlobals | None:
    """What the current app context keeps; ``None`` outside a context of that app."""
    return _context().g if context_app() is app else None


def unbind(context: _AppCtxGlobals) -> None:
    """Have a context take its flags anew at its next read."""
    context.pop(_BOUND, None)


class CurrentFlags(Flags):
    """Reads as the :class:`Flags` of whatever context it is used in."""

    __slots__ = ()

    def __init__(self) -> None:
        pass

    # What is called most does without a step in between; the rest is as slow as it may be.

    def is_feature_enabled(self, feature_name: str, default: bool | Unset = UNSET) -> bool:
        try:
            bound = _context().g.__dict__.get(_BOUND)
        except (LookupError, RuntimeError):
            bound = None
        _, _, first, second = bound or _current()
        flag = first(feature_name)
        if flag is None:
            flag = second(feature_name)
        if flag is None:
            return current_flags().is_feature_enabled(feature_name, default)
        return flag.enabled

    def get_feature_value(self, feature_name: str, default: FlagValue | Unset = UNSET) -> FlagValue:
        try:
            bound = _context().g.__dict__.get(_BOUND)
        except (LookupError, RuntimeError):
            bound = None
        _, _, first, second = bound or _current()
        flag = first(feature_name)
        if flag is None:
            flag = second(feature_name)
        if flag is None:
            return current_flags().get_feature_value(feature_name, default)
        return flag.value

    # The other methods of Flags work on what lies here.

    @property
    def _snapshot(self) -> Snapshot | None:  # type: ignore[override]
        return current_flags()._snapshot

    @property
    def _flags(self) -> Mapping[str, Flag]:  # type: ignore[override]
        return current_flags()._flags

    @property
    def _defaults(self) -> Mapping[str, Flag]:  # type: ignore[override]
        return current_flags()._defaults

    @property
    def _on_missing(self) -> OnMissing:  # type: ignore[override]
        return current_flags()._on_missing

    @property
    def _identities(self) -> Identities | None:  # type: ignore[override]
        return current_flags()._identities

    @property
    def _identity(self) -> Identity | None:  # type: ignore[override]
        return current_flags()._identity

    def for_identity(
        self,
        identifier: str | Identity,
        traits: Mapping[str, TraitValue] | None = None,
        transient: bool = False,
    ) -> Flags:
        return current_flags().for_identity(identifier, traits, transient)

    def __repr__(self) -> str:
        return super().__repr__() if has_app_context() else "<flags, outside an app context>"

    def __reduce__(self) -> Any:
        return "flags"


#: The flags of the current request, command or task.
flags: Flags = CurrentFlags()
