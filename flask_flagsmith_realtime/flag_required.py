"""``flag_required``: a decorator that guards a view by a feature."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

from flask import abort, current_app, request
from werkzeug.exceptions import default_exceptions

from .current import flags
from .model import FlagValue
from .reading import UNSET, Unset

_View = TypeVar("_View", bound=Callable[..., Any])
#: A view function, or the name of an endpoint.
Otherwise: TypeAlias = "Callable[..., Any] | str"


def flag_required(
    feature_name: str,
    *,
    value: FlagValue | Unset = UNSET,
    status: int = 404,
    otherwise: Otherwise | None = None,
) -> Callable[[_View], _View]:
    """Guards a view by a feature: it answers requests for which the feature is on.

    .. code-block:: python

        @app.get("/beta")
        @flag_required("beta_dashboard")
        def beta(): ...

        @shop.get("/checkout")
        @flag_required("checkout", value="new", otherwise=".old_checkout")
        def new_checkout(): ...

    It goes below ``route``, like any decorator of a view; for a class-based view, into its
    ``decorators``. Both the view and the fallback may be async.

    :param feature_name: the feature's name on Flagsmith.
    :param value: a value that the feature must have, besides being on.
    :param status: the HTTP error for all other requests.
    :param otherwise: the fallback that answers all other requests instead of the error, with the
        same arguments: a view function, or the name of an endpoint, where a leading dot stands for
        the same blueprint.
    :raises TypeError: if an argument or the decorated object has a wrong type.
    :raises ValueError: if ``status`` is not an HTTP error.
    """
    if not isinstance(feature_name, str):
        raise TypeError(
            "flag_required takes the name of a feature, such as "
            '@flag_required("beta_dashboard"), not ' + type(feature_name).__name__
        )
    if otherwise is not None and not isinstance(otherwise, str) and not callable(otherwise):
        raise TypeError(
            "otherwise must be a view function or the name of an endpoint, not "
            f"{type(otherwise).__name__}"
        )
    if isinstance(status, bool) or status not in default_exceptions:
        known = ", ".join(map(str, sorted(default_exceptions)))
        raise ValueError(f"status must be an HTTP error ({known}), not {status!r}")

    def choose(view: Callable[..., Any]) -> Callable[..., Any]:
        flag = flags.get_flag(feature_name)
        if flag.enabled and (isinstance(value, Unset) or _is_same(flag.value, value)):
            return view
        if otherwise is None:
            abort(status)
        return _view_of(otherwise) if isinstance(otherwise, str) else otherwise

    def guard(view: _View) -> _View:
        if inspect.isclass(view) or not callable(view):
            raise TypeError(
                "flag_required guards a view function; for a class-based view, put it into the "
                f"class: decorators = [flag_required({feature_name!r})]"
            )
        guarded: Callable[..., Any]
        if inspect.iscoroutinefunction(view):

            @functools.wraps(view)
            async def guarded(*args: Any, **kwargs: Any) -> Any:
                answer = choose(view)(*args, **kwargs)
                return await answer if inspect.isawaitable(answer) else answer

        else:

            @functools.wraps(view)
            def guarded(*args: Any, **kwargs: Any) -> Any:
                return current_app.ensure_sync(choose(view))(*args, **kwargs)

        return cast(_View, guarded)

    return guard


def _is_same(found: FlagValue, wanted: FlagValue) -> bool:
    """Compares values, where ``True`` differs from 1."""
    return found == wanted and isinstance(found, bool) == isinstance(wanted, bool)


def _view_of(endpoint: str) -> Callable[..., Any]:
    """Returns the view function of an endpoint, which is named as for ``url_for``."""
    name = endpoint
    if name.startswith("."):
        name = f"{request.blueprint}{name}" if request.blueprint else name[1:]
    try:
        return cast("Callable[..., Any]", current_app.view_functions[name])
    except KeyError:
        raise LookupError(
            f"flag_required has otherwise={endpoint!r}, but the app has no endpoint {name!r}: see "
            "'flask routes'."
        ) from None
