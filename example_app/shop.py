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
    """A product. Its price is in the feature ``pricing``."""

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
    """The list of products."""
    return render_template("home.html", products=PRODUCTS.values(), delivery_price=DELIVERY)


@blueprint.get("/checkout/<slug>")
@flag_required("new_checkout", otherwise="shop.old_checkout")
def checkout(slug: str) -> str:
    """The new checkout, for visitors who have the feature."""
    return render_template("checkout.html", product=find(slug), delivery=delivery())


@blueprint.get("/checkout/<slug>/by-post")
def old_checkout(slug: str) -> str:
    """The old checkout, for all other visitors."""
    return render_template("old_checkout.html", product=find(slug))


@blueprint.post("/checkout/<slug>")
@flag_required("new_checkout", status=409)
def pay(slug: str) -> Response:
    """Accept an order. This shop takes no money."""
    flash(f"Thank you! Your {find(slug).name.lower()} is on its way.")
    return redirect(url_for("shop.home"), 303)


@blueprint.get("/diary")
@flag_required("beta_dashboard")
def diary() -> str:
    """A page that does not exist for visitors without the feature."""
    return render_template("diary.html", cups=CUPS)


def not_found(error: HTTPException) -> tuple[str, int]:
    """The page for unknown paths, and for paths behind a feature."""
    return render_template("not_found.html"), 404


def find(slug: str) -> Product:
    """Return a product, or abort with 404."""
    return PRODUCTS.get(slug) or abort(404)


def delivery() -> int:
    """Return the price of delivery for the current visitor."""
    return 0 if flags.is_feature_enabled("free_delivery") else DELIVERY


@blueprint.app_template_global()
def button_colour() -> str:
    """Return a colour that is safe in a style attribute: a flag's value can be any text."""
    value = str(flags.get_feature_value("button_colour"))
    return value if re.fullmatch(r"[a-zA-Z]{3,20}|#[0-9a-fA-F]{3,8}", value) else "indigo"
