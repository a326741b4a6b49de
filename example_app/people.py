"""The visitor. Instead of a login, there are three people with traits to choose from."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, Response, redirect, request, session, url_for
from werkzeug.exceptions import BadRequest

from flask_flagsmith_realtime import Identity

from .features import flagsmith

blueprint = Blueprint("people", __name__)


@dataclass(frozen=True)
class Person:
    """A known visitor."""

    identifier: str
    name: str
    plan: str


PEOPLE = {
    person.identifier: person
    for person in (
        Person("ada", "Ada", plan="pro"),
        Person("ben", "Ben", plan="free"),
        Person("chloe", "Chloe", plan="pro"),
    )
}


def current_person() -> Person | None:
    """Return the person in the signed session cookie; ``None`` for an anonymous visitor."""
    return PEOPLE.get(session.get("person", ""))


@flagsmith.identity_loader
def load_identity() -> Identity | None:
    """Return the identity whose flags the request reads; ``None`` for the environment's flags."""
    person = current_person()
    return person and Identity(person.identifier, traits={"plan": person.plan})


@blueprint.post("/who")
def switch() -> Response:
    """Change the person in the session."""
    identifier = request.form.get("person", "")
    if identifier and identifier not in PEOPLE:
        raise BadRequest("There is no such person.")
    session["person"] = identifier
    return redirect(url_for("shop.home"), 303)
