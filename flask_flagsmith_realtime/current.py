"""``flags``: the flags of the current request, command or task.

An app context gets its flags at the first read and keeps them to its end. They lie in ``g``, so
that a context which reads none pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from flask import Flask, current_app, g, has_app_context
from flask.ctx import _AppCtxGlobals

from .errors import NotInitializedError
from .flag import Flag
from .flags import Flags, OnMissing
from .snapshot import Snapshot

#: Where the extension keeps what belongs to an app, in ``app.extensions``.
EXTENSION = "flagsmith_realtime"

# The context's own object: a proxy's attribute costs several times as much.
_context_globals = cast("Callable[[], _AppCtxGlobals]", g._get_current_object)


def current_flags() -> Flags:
    """The flags of the current app context.

    :raises NotInitializedError: outside an app context, or if the app has no extension.
    """
    try:
        return cast(Flags, _context_globals()._flagsmith_flags)
    except AttributeError:
        return _bind()
    except RuntimeError:
        raise NotInitializedError(
            "flags were read outside an app context. Read them in a view, a command or a template, "
            "or inside 'with app.app_context():'."
        ) from None


def _bind() -> Flags:
    try:
        state = current_app.extensions[EXTENSION]
    except KeyError:
        raise NotInitializedError(
            f"The app {current_app.name!r} has no flags: call FlagsmithRealtime(app), or "
            "flagsmith.init_app(app), where the app is made."
        ) from None
    # Of several threads that share a context, all get the flags of the first.
    return cast(Flags, g.setdefault("_flagsmith_flags", state.flags()))


def context_of(app: Flask) -> _AppCtxGlobals | None:
    """What the current app context keeps; ``None`` outside a context of that app."""
    if has_app_context() and current_app._get_current_object() is app:  # type: ignore[attr-defined]
        return _context_globals()
    return None


def unbind(context: _AppCtxGlobals) -> None:
    """Have a context take its flags anew at its next read."""
    context.pop("_flagsmith_flags", None)


class CurrentFlags(Flags):
    """Reads as the :class:`Flags` of whatever context it is used in."""

    __slots__ = ()

    def __init__(self) -> None:
        pass

    # The methods of Flags work on what lies here, so there is nothing to forward but this.

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

    def __repr__(self) -> str:
        return super().__repr__() if g else "<flags, outside an app context>"

    def __reduce__(self) -> Any:
        return "flags"


#: The flags of the current request, command or task.
flags: Flags = CurrentFlags()
