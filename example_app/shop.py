"""The shop's pages."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flask import Blueprint, Response, abort, flash, redirect, render_template, url_for
from werkzeug.exceptions import HTTPException

from flask_flagsmith_realtime import flag_required, flags

blueprint = Blueprint("shop", __name__)

DELIVERY = 4
CUPS = {"Mon": 3, "Tue": 5, "Wed": 4, "Thu": 2, "Fri": 6, "Sat": 7, "Sun": 4}


@dataclass(frozen=True)
class Product:
    """Something to buy. What it costs, the feature ``pricing`` says."""

    slug: str
    name: str
    text: str


PRODUCTS = {
    product.slug: product
    for product in (
        Product("mug", "Stoneware mug", "Thrown by hand, holds a proper half-pint."),
        Product("teapot", "Cast-iron teapot", "Keeps four cups warm until the last page."),
        Product("tea_tin", "First-flush Darjeeling", "A hundred grams, picked in March."),
    )
}


@blueprint.get("/")
def home() -> str:
    """All there is to buy."""
    return render_template("home.html", products=PRODUCTS.values())


@blueprint.get("/checkout/<slug>")
@flag_required("new_checkout", otherwise="shop.old_checkout")
def checkout(slug: str) -> str:
    """The new checkout, for whoever has it."""
    return render_template("checkout.html", product=find(slug), delivery=delivery())


@blueprint.get("/checkout/<slug>/by-post")
def old_checkout(slug: str) -> str:
    """The old one, for everybody else."""
    return render_template("old_checkout.html", product=find(slug))


@blueprint.post("/checkout/<slug>")
@flag_required("new_checkout", status=409)
def pay(slug: str) -> Response:
    """Take the money, which this shop doesn't."""
    flash(f"Thank you! Your {find(slug).name.lower()} is on its way.")
    return redirect(url_for("shop.home"), 303)


@blueprint.get("/diary")
@flag_required("beta_dashboard")
def diary() -> str:
    """A page that is not there for those who don't have the feature."""
    return render_template("diary.html", cups=CUPS)


def not_found(error: HTTPException) -> tuple[str, int]:
    """What those get instead."""
    return render_template("not_found.html"), 404


def find(slug: str) -> Product:
    """The product, or a page that says that there is none."""
    return PRODUCTS.get(slug) or abort(404)


def delivery() -> int:
    """What it costs to send something to whoever asks."""
    return 0 if flags.is_feature_enabled("free_delivery") else DELIVERY


@blueprint.app_template_global()
def button_colour() -> str:
    """A colour for a style attribute. The value is only a text that somebody typed."""
    value = str(flags.get_feature_value("button_colour"))
    return value if re.fullmatch(r"[a-zA-Z]{3,20}|#[0-9a-fA-F]{3,8}", value) else "indigo"
