"""Who is asking. Instead of a login, three people with traits to choose from, and nobody."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, Response, redirect, request, session, url_for
from werkzeug.exceptions import BadRequest

from flask_flagsmith_realtime import Identity

from .features import flagsmith

blueprint = Blueprint("people", __name__)


@dataclass(frozen=True)
class Person:
    """Somebody who may come to the shop."""

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
    """The person in the signed session cookie; ``None`` if nobody has said who they are."""
    return PEOPLE.get(session.get("person", ""))


@flagsmith.identity_loader
def load_identity() -> Identity | None:
    """Tell whose flags the request reads. Without an identity, the environment's flags serve."""
    person = current_person()
    return person and Identity(person.identifier, traits={"plan": person.plan})


@blueprint.post("/who")
def switch() -> Response:
    """Become somebody else."""
    identifier = request.form.get("person", "")
    if identifier and identifier not in PEOPLE:
        raise BadRequest("There is nobody of that name here.")
    session["person"] = identifier
    return redirect(url_for("shop.home"), 303)
