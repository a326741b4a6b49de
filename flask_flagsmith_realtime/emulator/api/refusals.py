"""Answers to requests that Flagsmith refuses."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify

#: Django's page for an exception that the server did not expect.
_SERVER_ERROR = """
<!doctype html>
<html lang="en">
<head>
  <title>Server Error (500)</title>
</head>
<body>
  <h1>Server Error (500)</h1><p></p>
</body>
</html>
"""


class RequestRefusedError(Exception):
    """A request is answered with an error.

    :param status: the HTTP status.
    :param body: the JSON body.
    """

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status)
        self._status = status
        self._body = body

    def as_response(self) -> Response:
        """The answer."""
        response = jsonify(self._body)
        response.status_code = self._status
        return response


class ServerFaultError(RequestRefusedError):
    """A request that makes a real server fail: its database cannot store a value in it."""

    def __init__(self) -> None:
        super().__init__(500, None)

    def as_response(self) -> Response:
        """The HTML page that a real server answers."""
        return Response(_SERVER_ERROR, status=500, mimetype="text/html")
