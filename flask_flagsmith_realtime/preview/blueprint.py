"""The blueprint: the page that sets a preview, and the marks of responses with one.

A response with a preview must reach no other browser: it says ``private, no-store``, and loses the
validators by which a cache could keep it. All responses that depend on flags say ``Vary: Cookie``.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

from flask import Blueprint, Flask, abort, current_app, redirect, render_template, request, url_for
from flask.blueprints import BlueprintSetupState
from werkzeug.wrappers import Response

from ..reading import Flags
from . import settings
from .preview import Decision, Preview

_BADGE = (
    '<div role="status" style="position:fixed;bottom:1em;left:1em;max-width:80%;'
    "padding:.5em 1em;border-radius:.5em;background:#6837fc;color:#fff;font:14px/1.4 sans-serif;"
    'z-index:2147483647">Preview: {} <a href="{}" style="color:#fff">Change</a></div>'
)


def make_blueprint(
    preview: Preview,
    flags: Callable[[], Flags],
    was_read: Callable[[Flask], bool],
    has_badge: Callable[[], bool],
) -> Blueprint:
    """Returns the blueprint.

    :param preview: the extension's previews.
    :param flags: returns the flags of the current request.
    :param was_read: returns ``True`` if the current request of an app has read flags.
    :param has_badge: returns ``True`` if pages with a preview get a badge.
    """
    blueprint = Blueprint(
        "flagsmith_preview", __name__, url_prefix="/flagsmith/preview", template_folder="templates"
    )

    @blueprint.record
    def activate(setup: BlueprintSetupState) -> None:
        endpoint = f"{setup.name_prefix}.{setup.name}.page".lstrip(".")
        preview.add_page(cast(Flask, setup.app), endpoint)

    @blueprint.get("/")
    def page() -> str:
        decision = _allowed(preview)
        # all_flags() counts as no read.
        return render_template(
            "flagsmith_preview.html",
            flags=sorted(flags().all_flags(), key=lambda flag: flag.feature_name),
            settings=decision.settings or {},
        )

    @blueprint.post("/")
    def change() -> Response:
        if not _is_of_this_site():
            abort(403)
        _allowed(preview)
        form, wanted = request.form, {}
        if "clear" not in form:
            # A button's setting, else that of the field.
            text = form.get("switch", form.get("value", ""))
            wanted = settings.changed(preview.settings(_app()), {form["feature"]: text})
        try:
            cookie = preview.sign(_app(), wanted)
        except settings.TooManySettingsError as error:
            abort(400, str(error))
        response = redirect(url_for(".page"), 303)
        _set_cookie(response, cookie)
        return response

    @blueprint.after_app_request
    def mark(response: Response) -> Response:
        decision = preview.decide(_app())
        is_personal = bool(decision.settings) or decision.cookie is not None
        if is_personal or was_read(_app()):
            response.vary.add("Cookie")
        if is_personal:
            _forbid_sharing(response)
        if decision.cookie is not None:
            _set_cookie(response, decision.cookie)
        page = preview.pages[_app()]
        if decision.settings and request.endpoint != page and has_badge():
            _add_badge(response, decision, url_for(page))
        return response

    return blueprint


def _app() -> Flask:
    return cast(Flask, current_app._get_current_object())  # type: ignore[attr-defined]


def _allowed(preview: Preview) -> Decision:
    """Returns the decision about the request; 404 for a visitor who may not preview."""
    decision = preview.decide(_app())
    if not decision.allowed and not preview.may_preview(_app()):
        abort(404)
    return decision


def _is_of_this_site() -> bool:
    """Returns ``True`` unless another site made the browser send the form."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == request.host


def _set_cookie(response: Response, value: str) -> None:
    response.set_cookie(
        settings.COOKIE,
        value,
        max_age=None if value else 0,
        path=current_app.config["APPLICATION_ROOT"],
        secure=request.is_secure,
        httponly=True,
        samesite="Lax",
    )


def _forbid_sharing(response: Response) -> None:
    for name in ("ETag", "Last-Modified", "Expires", "CDN-Cache-Control", "Surrogate-Control"):
        response.headers.pop(name, None)
    response.headers["Cache-Control"] = "private, no-store"


def _add_badge(response: Response, decision: Decision, page: str) -> None:
    """Adds the badge to a page. Other responses, and streamed ones, are left as they are."""
    if (
        response.mimetype != "text/html"
        or response.is_streamed
        or response.direct_passthrough
        or "Content-Encoding" in response.headers
    ):
        return
    content = response.get_data()
    ends = list(re.finditer(rb"(?i)</body\s*>", content))
    if ends:
        names = ", ".join(sorted(decision.settings or ()))
        badge = _BADGE.format(html.escape(names), html.escape(page))
        end = ends[-1].start()
        response.set_data(content[:end] + badge.encode() + content[end:])
