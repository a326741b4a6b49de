"""The Requests session of the API client and of the stream, and requests within one origin.

A session belongs to one thread at a time. Its adapters add each socket to a :class:`.Sockets`, so
that another thread can end a call. TLS is always verified, redirects stay within the origin, and
cookies and ``~/.netrc`` are not used: the environment key goes to no other server.
"""

from __future__ import annotations

import http.cookiejar
import socket
from functools import partial
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from flagsmith.version import DEFAULT_USER_AGENT as SDK_USER_AGENT
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.connection import allowed_gai_family

from ..config import Config
from ..version import __version__
from .failures import CrossOriginRedirectError
from .sockets import Sockets

USER_AGENT = f"flask-flagsmith-realtime/{__version__}"
_MOST_REDIRECTS = 5


def make_session(config: Config, sockets: Sockets) -> requests.Session:
    """Makes a session without retries, cookies and credentials of its own.

    :param sockets: registers the session's sockets.
    """
    session = _Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(sockets))
    session.headers["User-Agent"] = USER_AGENT
    session.proxies.update(config.proxies)
    # It adds nothing. Without such a function, Requests looks for a password in ~/.netrc.
    session.auth = lambda request: request
    # A load balancer's cookie would pin every fetch to one replica, also to one that lags.
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    return session


def api_headers(config: Config, *, custom: bool = True) -> dict[str, str]:
    """Returns the headers of a call of Flagsmith's API.

    :param custom: include ``FLAGSMITH_CUSTOM_HEADERS``.
    """
    headers = {
        **(config.custom_headers if custom else {}),
        "Accept": "application/json",
        "X-Environment-Key": config.environment_key or "",
        # Flagsmith counts evaluations of the SDKs that it knows: the official one evaluates here.
        # It does not know this package, which User-Agent names.
        "Flagsmith-SDK-User-Agent": SDK_USER_AGENT,
    }
    if config.application_name is not None:
        headers["Flagsmith-Application-Name"] = config.application_name
    if config.application_version is not None:
        headers["Flagsmith-Application-Version"] = config.application_version
    return headers


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Returns the scheme, host and port of a URL.

    :raises ValueError: if it is not a valid URL.
    """
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def get_within_origin(
    session: requests.Session, url: str, headers: dict[str, str], timeout: tuple[float, float]
) -> requests.Response:
    """Sends a GET request and follows redirects within its origin only. The body is left unread.

    :param timeout: seconds to wait for the connection, and for each read.
    :raises CrossOriginRedirectError: if it is redirected to another origin, or in a circle.
    :raises requests.RequestException: if there is no answer.
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
            raise CrossOriginRedirectError("it redirects to a malformed URL") from None
        if (scheme, host, port) != origin(url):
            raise CrossOriginRedirectError(
                f"it redirects to {scheme}://{host}:{port}, another origin, which is not followed"
            )
    raise CrossOriginRedirectError("it redirects in a circle")


def post_json(
    session: requests.Session, url: str, headers: dict[str, str], content: bytes, seconds: float
) -> requests.Response:
    """Sends a POST request with JSON. Follows no redirect, and leaves the answer's body unread.

    :param seconds: time for the connection and the head of the answer together.
    :raises requests.RequestException: if there is no answer.
    """
    return session.post(
        url,
        headers={**headers, "Content-Type": "application/json"},
        data=content,
        timeout=urllib3.Timeout(total=seconds),  # type: ignore[arg-type]
        stream=True,
        allow_redirects=False,
    )


class _HTTPConnection(HTTPConnection):
    def __init__(self, *args: Any, sockets: Sockets, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sockets = sockets

    def _new_conn(self) -> socket.socket:
        timeout = self.timeout
        # The addresses of the host share the time: urllib3 gives all of it to each of them.
        self.timeout = (timeout or 0.0) / self._count_addresses() or None
        try:
            opened = super()._new_conn()
        finally:
            self.timeout = timeout
        opened.settimeout(timeout)
        self._sockets.add(opened)
        return opened

    def _count_addresses(self) -> int:
        host, family = self._dns_host.strip("[]"), allowed_gai_family()
        try:
            return len(socket.getaddrinfo(host, self.port, family, socket.SOCK_STREAM))
        except (OSError, UnicodeError):
            # urllib3 meets the same error and raises its own.
            return 1


class _HTTPSConnection(_HTTPConnection, HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        # TLS has replaced the first socket by its own; with TLS to a proxy, it has wrapped it.
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

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        # Some programs disable verification for all of Requests by patching its sessions.
        return super().send(*args, **{**kwargs, "verify": kwargs["verify"] or True})


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Leaves redirects to :func:`get_within_origin`: Requests reads their bodies unbounded."""

    def merge_environment_settings(self, *args: Any, **kwargs: Any) -> Any:
        settings = super().merge_environment_settings(*args, **kwargs)
        if self.proxies:
            # Requests prefers the environment's proxies to the session's.
            settings["proxies"] = self.proxies
        return settings
