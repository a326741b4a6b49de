"""``FLAGSMITH_REDIS_URL``: what it may be, and the client that it leads to.

``redis://``, ``rediss://`` (TLS) and ``unix://`` as redis-py takes them, with those of its options
in the query that are about where Redis is and who asks. How it is spoken to, and for how long it is
waited for, is the fleet's business. For Sentinel redis-py has no URL; here it is
``redis+sentinel://`` or ``rediss+sentinel://``, the sentinels' hosts, the service and the
database::

    redis+sentinel://user:password@host:26379,host:26379/mymaster/0

User and password are those of Redis; sentinels that ask for their own get them by
``?sentinel_username=…&sentinel_password=…``.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

from ..client import Sockets
from ..exceptions import ConfigError

_CONNECT_SECONDS = 1.0
_ANSWER_SECONDS = 2.0
_SENTINEL = "+sentinel"
_SENTINEL_PORT = 26379
_OPTIONS = ("client_name", "db", "password", "username")
_TLS_OPTIONS = (
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_keyfile",
    "ssl_password",
)


class _WrongURLError(ValueError):
    """A URL is wrong. The message repeats nothing of it: all of it may be part of a password."""


def check_url(url: str) -> None:
    """Checks a URL without connecting.

    :raises ConfigError: saying what is wrong with it, without repeating it: it may hold a password.
    """
    reason = "it is not one"
    try:
        open_client(url, Sockets()).close()
        return
    except _WrongURLError as error:
        reason = str(error)
    except (ValueError, TypeError, AttributeError, RedisError):
        # What the library says may repeat a part of the password.
        pass
    raise ConfigError(
        f"FLAGSMITH_REDIS_URL is not a URL of a Redis: {reason}. It takes "
        "redis://[[user]:password@]host[:port][/database], rediss://… for TLS, unix:///path, or "
        "redis+sentinel://host:port,host:port/service[/database]; in a password, the characters "
        "/ @ : # ? and % are written as %2F %40 %3A %23 %3F and %25."
    )


def open_client(url: str, sockets: Sockets, answer_seconds: float = _ANSWER_SECONDS) -> Redis:
    """Makes a client. It connects when it is first used.

    :param sockets: where its sockets are remembered.
    :param answer_seconds: how long it waits for an answer, and for a connection at most.
    :raises ValueError: if the URL is wrong.
    """

    def connected(connection: Any) -> None:
        sockets.add(connection._sock)
        connection.on_connect()

    options: dict[str, Any] = {
        "socket_connect_timeout": min(_CONNECT_SECONDS, answer_seconds),
        "socket_timeout": answer_seconds,
        "socket_keepalive": True,
        # Trying again is the fleet's business.
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "redis_connect_func": connected,
    }
    parts = urlsplit(url)
    _check_parts(parts)
    if parts.scheme.endswith(_SENTINEL):
        return _through_sentinel(url, options)
    if parts.scheme == "rediss":
        options["ssl_check_hostname"] = True
    if parts.scheme == "unix":
        del options["socket_keepalive"]
    return _checked(Redis(connection_pool=ConnectionPool.from_url(url, **options)))


def redacted_url(url: str) -> str:
    """Where a URL leads to, without user and password."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{hosts}{parts.path}"


def _check_parts(parts: SplitResult) -> None:
    """Refuses what redis-py would take for something else, of which log lines may tell a part."""
    if parts.scheme.removesuffix(_SENTINEL) not in ("redis", "rediss", "unix"):
        raise _WrongURLError("it starts with something else")
    if "#" in parts.geturl():
        raise _WrongURLError("it holds a #")
    if "@" in parts.path + parts.query:
        raise _WrongURLError("it holds an @ after a / or a ?")
    hosts = parts.netloc.rpartition("@")[2]
    if parts.scheme == "unix":
        if hosts:
            raise _WrongURLError("the path of its socket begins after three slashes")
    elif not hosts:
        raise _WrongURLError("it names no host")
    if parts.scheme in ("redis", "rediss"):
        if not parts.hostname:
            raise _WrongURLError("it names no host")
        _database(parts.path.strip("/"))
    if not parts.scheme.endswith(_SENTINEL):
        known = _OPTIONS + (_TLS_OPTIONS if parts.scheme == "rediss" else ())
        if not set(parse_qs(parts.query, keep_blank_values=True)) <= set(known):
            raise _WrongURLError(f"in its query it takes no option but {', '.join(known)}")


def _through_sentinel(url: str, options: dict[str, Any]) -> Redis:
    parts = urlsplit(url)
    scheme = parts.scheme.removesuffix(_SENTINEL)
    credentials, _, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    if scheme not in ("redis", "rediss") or not hosts or not service:
        raise _WrongURLError("of sentinels, it names their hosts and the service")
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    of_sentinels = {name: query.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    if query:
        raise _WrongURLError("of sentinels, it takes no options but theirs")
    if scheme == "rediss":
        options |= {"ssl": True, "ssl_check_hostname": True}
    user, _, password = credentials.partition(":")
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        [_address(host) for host in hosts.split(",")],
        sentinel_kwargs={**options, **of_sentinels},
        **options,
        username=unquote(user) or None,
        password=unquote(password) or None,
        db=_database(database),
    )
    client: Redis = sentinel.master_for(unquote(service))  # type: ignore[no-untyped-call]
    return client


def _address(host: str) -> tuple[str, int]:
    parts = urlsplit(f"//{host}")
    if not parts.hostname:
        raise _WrongURLError("one of the sentinels has no host")
    return parts.hostname, parts.port or _SENTINEL_PORT


def _database(text: str) -> int:
    if text and not (text.isascii() and text.isdigit()):
        raise _WrongURLError("its path is not the number of a database")
    return int(text or 0)


def _checked(client: Redis) -> Redis:
    """Refuses what redis-py would let through: values that it cannot use, TLS without a check."""
    options = client.connection_pool.connection_kwargs
    checks_host = str(options.get("ssl_check_hostname", True)).lower()
    if options.get("ssl_cert_reqs", "required") != "required" or checks_host != "true":
        raise _WrongURLError(
            "it turns the check of the server's certificate off; name its authority by "
            "?ssl_ca_certs=/path instead"
        )
    client.connection_pool.connection_class(**options)
    return client
