"""The page."""

from __future__ import annotations

from flask import Blueprint

from .state import State


def create_page(state: State) -> Blueprint:
    """Make the blueprint."""
    page = Blueprint("page", __name__)

    @page.get("/")
    def show() -> str:
        return "Flagsmith emulator"

    return page
