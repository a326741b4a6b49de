"""What the API's client and the stream's share: sessions, origins, and words for what went wrong.

A session belongs to one thread at a time. Its sockets are remembered twice. By its
:class:`Sockets`, so that another thread can end what it waits for. And by :data:`_open_sockets`, so
that a forked child can close its copies (:func:`close_inherited_sockets`): otherwise the child
would keep the parent's connections open after the parent has closed them. The child closes
descriptors only; nothing is sent on them, for the connection is still the parent's.
"""

from __future__ import annotations

import contextlib
import errno
import http
import http.cookiejar
import os
import socket
import ssl
import threading
import weakref
from functools import partial
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.connection import allowed_gai_family

from ..config import Config
from ..processes import close_after_fork

_USER_AGENT = "flask-flagsmith-realtime"
_MOST_REDIRECTS = 5


class CrossOriginRedirectError(requests.RequestException):
    """The server sent the client to another origin, where the key must not go."""


class Sockets:
    """The open sockets of one owner. Any thread may call anything."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._ended = False
        self._interrupted = False
        #: How many there have been.
        self.opened = 0

    def add(self, opened: socket.socket) -> None:
        """Remember a socket.

        :raises ConnectionAbortedError: if it came too late; then it is closed.
        """
        close_after_fork(opened)
        with self._lock:
            self.opened += 1
            self._open.add(opened)
            if self._ended or self._interrupted:
                opened.close()
                raise ConnectionAbortedError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))

    def shut_down(self) -> None:
        """End the connections that are open; who reads from one returns at once."""
        with self._lock:
            for opened in self._open:
                _shut_down(opened)

    def begin(self) -> None:
        """A call begins."""
        self._interrupted = False

    def interrupt(self) -> None:
        """End the connections that are open, and each one to come until another call begins."""
        self._interrupted = True
        self.shut_down()

    def end(self) -> None:
        """End the connections that are open, and each one to come."""
        self._ended = True
        self.shut_down()


def _shut_down(opened: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # Not an SSLSocket's own shutdown(), which pulls the cipher away from under its reader.
        socket.socket.shutdown(opened, socket.SHUT_RDWR)


class _HTTPConnection(HTTPConnection):
    def __init__(self, *args: Any, sockets: Sockets, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sockets = sockets

    def _new_conn(self) -> socket.socket:
        timeout = self.timeout
        if timeout:
            # All addresses of the host share it. urllib3 would give each of them as much.
            self.timeout = timeout / self._count_addresses()
        opened = super()._new_conn()
        self.timeout = timeout
        opened.settimeout(timeout)
        self._sockets.add(opened)
        return opened

    def _count_addresses(self) -> int:
        host, family = self._dns_host.strip("[]"), allowed_gai_family()
        try:
            return len(socket.getaddrinfo(host, self.port, family, socket.SOCK_STREAM))
        except (OSError, UnicodeError):
            # urllib3 will find the same, and say so in its own way.
            return 1


class _HTTPSConnection(_HTTPConnection, HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        # TLS has put its own socket in the place of the first one; with TLS to a proxy, around it.
        self._sockets.add(getattr(self.sock, "socket", self.sock))


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class _Adapter(HTTPAdapter):
    def __init__(self, sockets: Sockets) -> None:
        self._pools: Any = {
            "http": partial(_HTTPPool, sockets=sockets),
            "https": partial(_HTTPSPool, sockets=sockets),
        }
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = self._pools
        return manager

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        # Some programs switch verification off for all of Requests, by patching its sessions.
        return super().send(request, stream, timeout, verify or True, cert, proxies)


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Leave redirects to :func:`get_within_origin`: Requests reads their bodies unbounded."""

    def merge_environment_settings(self, *args: Any, **kwargs: Any) -> Any:
        settings = super().merge_environment_settings(*args, **kwargs)
        if self.proxies:
            # Requests prefers the environment's proxies to the session's.
            settings["proxies"] = self.proxies
        return settings


def make_session(config: Config, sockets: Sockets) -> requests.Session:
    """Make a session without retries, cookies and credentials of its own.

    :param sockets: where its sockets are remembered.
    """
    session = _Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(sockets))
    session.headers["User-Agent"] = _USER_AGENT
    session.proxies.update(config.proxies)
    # Without an answer here, Requests would look for a password in ~/.netrc.
    session.auth = lambda request: request
    # A load balancer's cookie would pin every fetch to one replica, also to one that lags.
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    return session


def origin(url: str) -> tuple[str, str | None, int | None]:
    """The scheme, host and port that a URL leads to.

    :raises ValueError: if it is no URL.
    """
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def get_within_origin(
    session: requests.Session, url: str, headers: dict[str, str], timeout: tuple[float, float]
) -> requests.Response:
    """GET a URL, body unread, following redirects within its origin only.

    :param timeout: seconds to wait for the connection, and for each read.
    :raises CrossOriginRedirectError: when sent to another origin, or in a circle.
    :raises requests.RequestException: when no answer comes.
    """
    target = url
    for _ in range(_MOST_REDIRECTS + 1):
        response = session.get(
            target, headers=headers, timeout=timeout, stream=True, allow_redirects=False
        )
        try:
            location = requests.Session.get_redirect_target(session, response)
            if location is None:
                return response
            response.close()
            target = urljoin(target, location)
            scheme, host, port = origin(target)
        except ValueError:
            response.close()
            raise CrossOriginRedirectError("it redirects to what is no URL") from None
        if (scheme, host, port) != origin(url):
            raise CrossOriginRedirectError(
                f"it redirects to {scheme}://{host}:{port}, another origin, which is not followed"
            )
    raise CrossOriginRedirectError("it redirects in a circle")


def post_json(
    session: requests.Session, url: str, headers: dict[str, str], content: bytes, seconds: float
) -> requests.Response:
    """POST JSON, body of the answer unread, following no redirect.

    :param seconds: how long to wait for the connection and the answer's head, in all.
    :raises requests.RequestException: when no answer comes.
    """
    return session.post(
        url,
        headers={**headers, "Content-Type": "application/json"},
        data=content,
        timeout=urllib3.Timeout(total=seconds),  # type: ignore[arg-type]
        stream=True,
        allow_redirects=False,
    )


def was_dropped(error: BaseException) -> bool:
    """Whether a connection turned out to be gone when something was asked on it."""
    gone = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)
    return any(isinstance(cause, gone) for cause in _causes(error))


def retry_after_seconds(response: requests.Response) -> float | None:
    """The Retry-After of an answer, seconds or a date, in seconds from now."""
    try:
        return urllib3.Retry().get_retry_after(response.raw)
    except (urllib3.exceptions.InvalidHeader, ArithmeticError, ValueError):
        return None


def status_text(response: requests.Response) -> str:
    """The status of an answer in words, which are not the server's: those may be anything."""
    try:
        return f"{response.status_code} {http.HTTPStatus(response.status_code).phrase}"
    except ValueError:
        return str(response.status_code)


def describe_failure(error: BaseException) -> str:
    """Say what went wrong with a request, in words without a URL: URLs can hold the key."""
    if isinstance(error, CrossOriginRedirectError):
        return str(error)
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError)):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy (FLAGSMITH_PROXIES, or the environment's) cannot be reached"
    causes = _causes(error)
    words = (_words(cause) for cause in reversed(causes))
    return next(filter(None, words), f"the request failed ({type(causes[-1]).__name__})")


def _causes(error: BaseException) -> list[BaseException]:
    """An exception and what led to it, back to the one that started it."""
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


def _words(cause: BaseException) -> str | None:
    if isinstance(cause, socket.gaierror):
        return "the host's name cannot be resolved"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the server's TLS certificate was not accepted ({cause.verify_message})"
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed ({cause.reason or type(cause).__name__})"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    if type(cause) is OSError:
        # Requests' way to say that REQUESTS_CA_BUNDLE names no file.
        return str(cause)
    return {
        "BadStatusLine": "the answer is not HTTP",
        "DecodeError": "the answer's compression is broken",
        "HTTPException": "the answer is not HTTP",
        "IncompleteRead": "the answer was cut off",
        "InvalidHeader": "a header of FLAGSMITH_CUSTOM_HEADERS cannot be sent",
        "InvalidProxyURL": "the proxy's URL (FLAGSMITH_PROXIES, or the environment's) is none",
        "InvalidSchema": "a SOCKS proxy needs the package PySocks: pip install pysocks",
        "LineTooLong": "the answer is not HTTP",
        "LocationParseError": "there can be no host of that name",
        "ProxySchemeUnknown": "the proxy's URL (FLAGSMITH_PROXIES, or the environment's) is none",
        "RemoteDisconnected": "the server closed the connection without an answer",
        "TimeoutError": "no answer in time",
    }.get(type(cause).__name__)
