"""The emulator as a WSGI application: the API and the page, each an app of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .api import StreamOptions, create_api
from .page import create_page
from .state import State

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: Where the paths of the API begin; all others belong to the page.
_API_PATHS = ("/api/", "/sse/", "/v1/")


def create_app(state: State, options: StreamOptions, page_size: int | None) -> WSGIApplication:
    """Makes the application.

    :param page_size: see :func:`.api.create_api`.
    """
    api, page = create_api(state, options, page_size), create_page(state)

    def choose(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        app = api if environ.get("PATH_INFO", "").startswith(_API_PATHS) else page
        return app(environ, start_response)

    return choose
