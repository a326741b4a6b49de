"""``FLAGSMITH_REDIS_URL``: its validation, and the client of redis-py that it stands for.

``redis://``, ``rediss://`` (TLS) and ``unix://`` are the URLs of redis-py. The query may hold its
options about the user, the database and the certificates; timeouts and retries are the fleet's.
redis-py has no URL for Sentinel; here it is::

    redis+sentinel://user:password@host:26379,host:26379/mymaster/0?sentinel_password=…

or ``rediss+sentinel://``. User and password are those of Redis.
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
#: None that turns the check of the server's certificate off.
_TLS_OPTIONS = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password")


class _WrongURLError(ValueError):
    """A URL is wrong. The message repeats nothing of it: all of it may be part of a password."""


def check_url(url: str) -> None:
    """Checks a URL without connecting.

    :raises ConfigError: if it is wrong. The error does not repeat it: it may hold a password.
    """
    try:
        open_client(url, Sockets()).close()
        return
    except _WrongURLError as error:
        reason = str(error)
    except (ValueError, TypeError, AttributeError, RedisError):
        # The library's message may repeat a part of the password.
        reason = "it is not one"
    raise ConfigError(
        f"FLAGSMITH_REDIS_URL is not a URL of a Redis: {reason}. It takes "
        "redis://[[user]:password@]host[:port][/database], rediss://… for TLS, unix:///path, or "
        "redis+sentinel://host:port,host:port/service[/database]; in a password, the characters "
        "/ @ : # ? and % are written as %2F %40 %3A %23 %3F and %25."
    )


def open_client(url: str, sockets: Sockets, answer_seconds: float = _ANSWER_SECONDS) -> Redis:
    """Makes a client. It connects when it is first used.

    :param sockets: the owner of its sockets.
    :param answer_seconds: the longest wait for an answer, and for a connection.
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
        return _through_sentinel(parts, options)
    if parts.scheme == "rediss":
        options["ssl_check_hostname"] = True
    if parts.scheme == "unix":
        del options["socket_keepalive"]
    return Redis(connection_pool=ConnectionPool.from_url(url, **options))


def redacted_url(url: str) -> str:
    """Returns a URL without user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{_hosts(parts)}{parts.path}"


def _hosts(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _check_parts(parts: SplitResult) -> None:
    """Refuses a URL of which redis-py would take a part of the password for a host, a path or an
    option: log lines contain these."""
    if parts.scheme.removesuffix(_SENTINEL) not in ("redis", "rediss", "unix"):
        raise _WrongURLError("it starts with something else")
    if "#" in parts.geturl():
        raise _WrongURLError("it holds a #")
    if "@" in parts.path + parts.query:
        raise _WrongURLError("it holds an @ after a / or a ?")
    if parts.scheme.endswith(_SENTINEL):
        return
    if parts.scheme == "unix":
        if _hosts(parts):
            raise _WrongURLError("the path of its socket begins after three slashes")
    elif not parts.hostname:
        raise _WrongURLError("it names no host")
    else:
        _database(parts.path.strip("/"))
    known = _OPTIONS + (_TLS_OPTIONS if parts.scheme == "rediss" else ())
    if not set(parse_qs(parts.query, keep_blank_values=True)) <= set(known):
        raise _WrongURLError(f"in its query it takes no option but {', '.join(known)}")


def _through_sentinel(parts: SplitResult, options: dict[str, Any]) -> Redis:
    scheme, hosts = parts.scheme.removesuffix(_SENTINEL), _hosts(parts)
    service, _, database = parts.path.strip("/").partition("/")
    if scheme not in ("redis", "rediss") or not hosts or not service:
        raise _WrongURLError("of sentinels, it names their hosts and the service")
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    of_sentinels = {name: query.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    if query:
        raise _WrongURLError("of sentinels, it takes no options but theirs")
    if scheme == "rediss":
        options |= {"ssl": True, "ssl_check_hostname": True}
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        [_address(host) for host in hosts.split(",")],
        sentinel_kwargs={**options, **of_sentinels},
        **options,
        username=unquote(parts.username or "") or None,
        password=unquote(parts.password or "") or None,
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
