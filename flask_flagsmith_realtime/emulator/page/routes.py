"""The page's routes: they show the environment and its use, and make the changes asked for there.

The page works by plain forms; its script only saves reloading.
"""

from __future__ import annotations

from datetime import datetime

from flask import Flask, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from .. import rules
from ..edits import EditError
from ..loopback import refuse_other_names
from ..state import State, StateFileError
from . import forms, view
from .guard import refuse_other_sites

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

#: The largest form that is read: a value of a feature is at most 20,000 characters on Flagsmith.
_LARGEST_FORM_BYTES = 4 * 1024 * 1024


def create_page(state: State) -> Flask:
    """Makes the app."""
    page = Flask(__name__)
    page.config["MAX_CONTENT_LENGTH"] = page.config["MAX_FORM_MEMORY_SIZE"] = _LARGEST_FORM_BYTES
    refuse_other_names(page)
    refuse_other_sites(page)

    @page.get("/")
    def show() -> Response:
        return _render(state)

    @page.get("/version")
    def version() -> Response:
        return Response(_version(state), mimetype="text/plain")

    @page.post("/edit/<action>")
    def edit(action: str) -> BaseResponse:
        try:
            change = forms.read(action, request.form)
            if change.announced:
                state.announce(change.edit)
            else:
                state.amend(change.edit)
        except (EditError, StateFileError) as error:
            return _render(state, problem=str(error), status=400)
        # See other: a reload of the page must not repeat the change.
        place = request.form.get("place", "")
        return redirect(url_for("show", _anchor=place), 303)

    @page.after_request
    def add_headers(response: BaseResponse) -> BaseResponse:
        response.headers.update(HEADERS)
        return response

    @page.template_filter("clock")
    def clock(moment: datetime) -> str:
        return moment.astimezone().strftime("%H:%M:%S")

    return page


def _version(state: State) -> str:
    """Returns a text that changes when the page does."""
    changes = state.journal.changes
    return " ".join(
        [
            changes[0].at.isoformat() if changes else "",
            str(state.journal.calls.total()),
            str(state.usage.received),
            str(state.listeners.opened),
            str(state.listeners.count),
        ]
    )


def _render(state: State, problem: str | None = None, status: int = 200) -> Response:
    # The version first: a change in between then makes the script ask again.
    version, environment = _version(state), state.environment
    calls = state.journal.calls
    html = render_template(
        "page.html",
        version=version,
        problem=problem,
        environment=environment.document,
        epoch=environment.epoch,
        features=view.features(environment),
        segments=view.segments(environment),
        people=view.people(environment, state.journal.visits),
        changes=state.journal.changes,
        calls=sorted(calls.items()),
        call_count=calls.total(),
        usage=view.usage(state.usage.evaluations, state.usage.events),
        streams=state.listeners.count,
        streams_opened=state.listeners.opened,
        operators=rules.OPERATORS,
        root=request.host_url,
    )
    return make_response(html, status)
