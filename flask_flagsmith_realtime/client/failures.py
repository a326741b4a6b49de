"""Descriptions of failed HTTP calls, in plain words that hold no URL: a URL can hold the key."""

from __future__ import annotations

import http
import socket
import ssl

import requests
import urllib3


class CrossOriginRedirectError(requests.RequestException):
    """The server redirects to another origin, to a malformed URL, or in a circle."""


def describe_failure(error: BaseException) -> str:
    """Describes why a request failed, without a URL."""
    if isinstance(error, CrossOriginRedirectError):
        return str(error)
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError)):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy (FLAGSMITH_PROXIES, or the environment's) cannot be reached"
    causes = _causes(error)
    descriptions = (_describe(cause) for cause in reversed(causes))
    return next(filter(None, descriptions), f"the request failed ({type(causes[-1]).__name__})")


def is_dropped(error: BaseException) -> bool:
    """Returns ``True`` if the server closed the connection before it answered."""
    dropped = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)
    return any(isinstance(cause, dropped) for cause in _causes(error))


def is_unreachable(error: BaseException) -> bool:
    """Returns ``True`` if no connection to the server, or to its proxy, could be made."""
    failed = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
    return any(isinstance(cause, failed) for cause in _causes(error))


def retry_after_seconds(response: requests.Response) -> float | None:
    """Returns the Retry-After of an answer, in seconds from now; ``None`` if it has no valid
    one."""
    try:
        return urllib3.Retry().get_retry_after(response.raw)
    except (urllib3.exceptions.InvalidHeader, ArithmeticError, ValueError):
        return None


def status_text(response: requests.Response) -> str:
    """Returns the status code with its standard phrase. The server's own phrase may be anything."""
    try:
        return f"{response.status_code} {http.HTTPStatus(response.status_code).phrase}"
    except ValueError:
        return str(response.status_code)


def _causes(error: BaseException) -> list[BaseException]:
    """Returns an exception and its causes, the original one last."""
    causes: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in causes:
        causes.append(current)
        reason = getattr(current, "reason", None)
        inner = [argument for argument in current.args if isinstance(argument, BaseException)]
        if isinstance(reason, BaseException):
            current = reason
        else:
            current = inner[0] if inner else current.__cause__ or current.__context__
    return causes


def _describe(cause: BaseException) -> str | None:
    if isinstance(cause, socket.gaierror):
        return "the host's name cannot be resolved"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the server's TLS certificate was not accepted ({cause.verify_message})"
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed ({cause.reason or type(cause).__name__})"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    if type(cause) is OSError:
        # Requests raises a bare OSError when REQUESTS_CA_BUNDLE names a file that does not exist.
        return str(cause)
    return {
        "BadStatusLine": "the answer is not HTTP",
        "DecodeError": "the answer's compression is broken",
        "HTTPException": "the answer is not HTTP",
        "IncompleteRead": "the answer was cut off",
        "InvalidHeader": "a header of FLAGSMITH_CUSTOM_HEADERS cannot be sent",
        "InvalidProxyURL": "the proxy's URL (FLAGSMITH_PROXIES, or the environment's) is not valid",
        "InvalidSchema": "a SOCKS proxy needs the package PySocks: pip install pysocks",
        "LineTooLong": "the answer is not HTTP",
        "LocationParseError": "there can be no host of that name",
        "ProxySchemeUnknown": (
            "the proxy's URL (FLAGSMITH_PROXIES, or the environment's) is not valid"
        ),
        "RemoteDisconnected": "the server closed the connection without an answer",
        "TimeoutError": "no answer in time",
    }.get(type(cause).__name__)
