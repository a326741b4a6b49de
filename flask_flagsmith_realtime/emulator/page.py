"""The page: shows the environment and who uses it, and takes the changes made on it.

It works by plain forms; its script only saves reloading.
"""

from __future__ import annotations

from datetime import datetime

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from . import forms, rules, view
from .edits import EditError
from .state import State, StateFileError

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def create_page(state: State) -> Blueprint:
    """Make the blueprint."""
    page = Blueprint("page", __name__, template_folder="templates", static_folder="static")

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
        return redirect(url_for("page.show", _anchor=place), 303)

    @page.after_request
    def add_headers(response: BaseResponse) -> BaseResponse:
        response.headers.update(HEADERS)
        return response

    @page.app_template_filter("clock")
    def clock(moment: datetime) -> str:
        return moment.astimezone().strftime("%H:%M:%S")

    return page


def _version(state: State) -> str:
    """A text that changes when the page does."""
    events = state.journal.events
    return " ".join(
        [
            events[0].at.isoformat() if events else "",
            str(state.journal.calls.total()),
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
        known=len(environment.document["identity_overrides"]),
        events=state.journal.events,
        calls=sorted(calls.items()),
        call_count=calls.total(),
        streams=state.listeners.count,
        streams_opened=state.listeners.opened,
        operators=rules.OPERATORS,
        root=request.host_url,
    )
    return make_response(html, status)
