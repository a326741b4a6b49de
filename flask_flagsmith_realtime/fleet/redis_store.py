"""What a fleet keeps in Redis, and how it is read and written.

Three names, all with the same digest of the API's URL and the environment key, in braces so that a
cluster keeps them together; the key itself is nowhere in Redis:

- ``flask-flagsmith-realtime:{…}:environment``, a hash: the newest flags as an archive (``data``),
  their ``epoch``, a digest of their ``content``, when they were ``fetched_at``, and a ``version``,
  which differs from write to write; the last note of a webhook (``told``), and how the leader is
  supplied (``report``).
- ``flask-flagsmith-realtime:{…}:leader``, the lock: a token of the process that leads. It expires.
- ``flask-flagsmith-realtime:{…}:changes``, the channel. Its messages say only that it is worth
  looking: the truth is in the keys.

What is compared and then written is done by scripts, which Redis runs one after the other: no
process can write what another one has made old meanwhile, not even one that wakes from a pause.

Any thread may call a :class:`RedisStore`: the client's pool gives each call a connection. A
:class:`Subscription` belongs to the thread that asked for it. A forked child makes new ones, and
closes its copies of the sockets like those of :mod:`.http`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import secrets
from collections.abc import Iterator
from typing import Any

from redis import Redis
from redis.exceptions import TimeoutError as RedisTimeoutError

from ..client import Sockets, describe_failure
from ..config import Config
from ..exceptions import InvalidDocumentError
from ..model import Snapshot
from ..storage import pack, unpack
from . import redis_scripts
from .redis_client import open_client, redacted_url

_DOMAIN = b"flask-flagsmith-realtime fleet 1"
_LARGEST_BYTES = 64 * 1024 * 1024
#: How long what nobody fetches any more stays.
_KEPT_SECONDS = 7 * 24 * 3600
_CONFIRMATION_SECONDS = 2.0
#: How long a process that starts waits for an answer: somebody may be waiting for its first flags.
#: It is the time of the socket, not of the clock, so that many can start at once on a busy machine
#: with a Redis that answers.
_FIRST_ANSWERS_SECONDS = 0.3

#: What a Redis that cannot be used says, or redis-py for it, and what that means.
_REFUSALS = (
    (("READONLY", "ReadOnlyError"), "it is read-only: a replica"),
    (("OOM", "OutOfMemoryError"), "it is full: it has reached its maxmemory"),
    (("MISCONF",), "it cannot save to its disk and takes no writes"),
    (("NOREPLICAS",), "it has too few replicas and takes no writes"),
    (("LOADING", "BusyLoadingError"), "it is still loading its data"),
    (
        ("NOAUTH", "WRONGPASS", "AuthenticationError"),
        "it does not accept the user name and the password, or their absence",
    ),
    (
        ("NOPERM", "NoPermissionError", "ACL failure", "The user executing"),
        "its user lacks a permission; the keys ~flask-flagsmith-realtime:*, the channels "
        "&flask-flagsmith-realtime:*, and scripts with GET, SET, DEL, PTTL, EXPIRE, HSET, HMGET, "
        "HSTRLEN and PUBLISH are used",
    ),
    (("MOVED", "MovedError"), "it is a cluster, which needs a proxy before it"),
)


class StoreError(Exception):
    """Redis cannot be used. The message says why, without a password."""


class DamagedError(StoreError):
    """What lies in Redis cannot be used.

    :param reason: why.
    :param version: its version.
    """

    def __init__(self, reason: str, version: str) -> None:
        super().__init__(reason)
        self.version = version


@dataclasses.dataclass(frozen=True)
class Beat:
    """What a beat tells.

    :param leads: whether this process leads.
    :param lock_seconds: when the leader's lock expires, unless it is renewed.
    :param version: the version of what lies in Redis; ``None`` if nothing does.
    :param told: differs each time that a webhook came; ``None`` if none has come.
    :param fetched_at: when the leader fetched last; ``None`` if nothing lies there.
    :param report: how the leader is supplied, see :attr:`.Activity.report`.
    """

    leads: bool
    lock_seconds: float
    version: str | None
    told: str | None
    fetched_at: str | None
    report: str | None


@dataclasses.dataclass(frozen=True)
class Stored:
    """What lies in Redis.

    :param version: differs from write to write.
    :param snapshot: the flags.
    :param replaced: the newer epoch that was replaced by them, if one was.
    """

    version: str
    snapshot: Snapshot
    replaced: float | None


class RedisStore:
    """One environment's place in Redis.

    :param config: the app's settings, with a Redis and a key.
    :param expiry_seconds: how long the lock holds.
    """

    def __init__(self, config: Config, expiry_seconds: float) -> None:
        self._url = url = config.redis_url or ""
        key = config.environment_key or ""
        self._environment_key = key
        self._expiry = int(expiry_seconds * 1000)
        #: Names this process.
        self._token = secrets.token_hex(16)
        self._sockets = Sockets()
        self._client: Redis = open_client(url, self._sockets, _FIRST_ANSWERS_SECONDS)
        #: Where Redis is, in words that a log line may hold.
        self.redacted_url = redacted_url(url)
        prefix = f"flask-flagsmith-realtime:{{{fleet_digest(config.api_url, key)}}}"
        self._keys = [f"{prefix}:environment", f"{prefix}:leader"]
        self._channel = f"{prefix}:changes"

    def use_normal_timeouts(self) -> None:
        """Wait for answers as long as is usual, from now on: until then it is not long."""
        hasty, self._client = self._client, open_client(self._url, self._sockets)
        hasty.connection_pool.disconnect(inuse_connections=False)

    def beat(self, report: str) -> Beat:
        """Take the lock if it is free, renew it if it is this process's own.

        :param report: how this process is supplied, for the others if it leads.
        :raises StoreError: as all of these methods do.
        """
        leads, milliseconds, *marks = self._run(
            redis_scripts.BEAT, self._token, self._expiry, report, _KEPT_SECONDS
        )
        return Beat(bool(leads), milliseconds / 1000, *map(_text, marks))

    def read(self) -> Stored | None:
        """Read the flags, checking them as strictly as an answer of the API.

        :returns: what lies there; ``None`` if nothing does.
        :raises DamagedError: if it cannot be used.
        """
        version, *content = self._run(redis_scripts.READ, _LARGEST_BYTES)
        if version is None:
            return None
        version = version.decode("utf-8", "replace")
        try:
            return Stored(version, *self._unpack(*content))
        except (InvalidDocumentError, TypeError, ValueError) as error:
            raise DamagedError(
                f"what lies in it at {self._keys[0]} is not usable ({error})", version
            ) from None

    def discard(self, version: str) -> None:
        """Remove what lies there, unless it is another version by now."""
        self._run(redis_scripts.DISCARD, version)

    def report_corruption(self) -> None:
        """Tell the leader that what lies there cannot be used."""
        with _explained():
            self._client.publish(self._channel, "damaged")

    def write(self, snapshot: Snapshot, version: str, replaced: float | None = None) -> str | None:
        """Store flags, unless newer ones are there; and tell the others.

        :param version: what to call this write, see :func:`new_version`.
        :param replaced: the newer epoch that they replace on purpose. Only the leader may.
        :returns: the version that lies there now: another one if the flags were there already;
            ``None`` if they were not stored.
        """
        try:
            data, content = pack(snapshot, self._environment_key), _content_digest(snapshot)
        except (RecursionError, TypeError, ValueError) as error:
            raise StoreError(f"the flags cannot be stored in it: {error}") from None
        if len(data) > _LARGEST_BYTES:
            raise StoreError(f"the flags are larger than {_LARGEST_BYTES // 2**20} MiB")
        arguments = [
            self._token,
            self._channel,
            version,
            _number(snapshot.epoch),
            repr(snapshot.fetched_at),
            content,
            data,
            _KEPT_SECONDS,
        ]
        if replaced is None:
            return _text(self._run(redis_scripts.STORE, *arguments))
        return _text(self._run(redis_scripts.REPLACE, *arguments, _number(replaced)))

    def tell(self, what: str) -> None:
        """Leave a note for the leader, and call it.

        :param what: the note. Each differs from the one before.
        """
        self._run(redis_scripts.TELL, self._channel, what)

    def release(self) -> None:
        """Give the lock back, if this process has it, and tell the others."""
        self._run(redis_scripts.RELEASE, self._token, self._channel)

    def subscribe(self) -> Subscription:
        """Listen to the channel from now on."""
        with _explained():
            return Subscription(self._client, self._channel)

    def interrupt(self) -> None:
        """Make whoever waits for Redis return at once. The next call connects again."""
        self._sockets.shut_down()

    def close(self) -> None:
        """Close the connections that nobody uses at the moment."""
        with contextlib.suppress(Exception):
            self._client.connection_pool.disconnect(inuse_connections=False)

    def _unpack(
        self,
        fetched_at: bytes | None = None,
        replaced: bytes | None = None,
        data: bytes | None = None,
    ) -> tuple[Snapshot, float | None]:
        if data is None:
            raise ValueError(f"it is larger than {_LARGEST_BYTES // 2**20} MiB, or not there")
        snapshot = unpack(data, self._environment_key)
        snapshot = dataclasses.replace(snapshot, fetched_at=float(fetched_at or b""))
        return snapshot, float(replaced) if replaced else None

    def _run(self, script: str, *arguments: Any) -> Any:
        with _explained():
            return self._client.register_script(script)(keys=self._keys, args=arguments)


class Subscription:
    """An open ear for the channel."""

    def __init__(self, client: Redis, channel: str) -> None:
        self._pubsub = client.pubsub()  # type: ignore[no-untyped-call]
        try:
            self._pubsub.subscribe(channel)
            # Only what is published after the confirmation is sure to come.
            if self._pubsub.get_message(timeout=_CONFIRMATION_SECONDS) is None:
                raise RedisTimeoutError("no confirmation")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self, seconds: float) -> str | None:
        """Wait for a message.

        :returns: the message, or ``None`` if none came within that time, or one without meaning.
        :raises StoreError: if the connection broke.
        """
        with _explained():
            message = self._pubsub.get_message(timeout=max(seconds, 0.0))
        if message is None or message.get("type") != "message":
            return None
        return bytes(message["data"]).decode("utf-8", "replace")

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(Exception):
            self._pubsub.close()


def new_version() -> str:
    """A name for a write that no other write has."""
    return secrets.token_hex(8)


def fleet_digest(api_url: str, environment_key: str) -> str:
    """Name a fleet without telling its key, which is long and random and cannot be found by
    trying."""
    return hashlib.sha256(
        b"\0".join((_DOMAIN, api_url.encode(), environment_key.encode()))
    ).hexdigest()


def _content_digest(snapshot: Snapshot) -> str:
    content = snapshot.document if snapshot.document is not None else snapshot.answer
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _number(epoch: float | None) -> str:
    return "" if epoch is None else repr(epoch)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn what the client raises into a :class:`StoreError` that says what is wrong."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        # Not its own errors alone: a connection that is shut down under it breaks in many ways.
        raise StoreError(_describe(error)) from error


def _describe(error: Exception) -> str:
    answer = str(error)
    for words, meaning in _REFUSALS:
        if any(word in f"{type(error).__name__} {answer}" for word in words):
            return meaning
    if isinstance(error, (RedisTimeoutError, TimeoutError)):
        return "no answer in time"
    if "closed by server" in answer:
        return "it closed the connection"
    cause = describe_failure(error)
    return cause if cause != type(error).__name__ else f"{cause}: {answer[:100]}"
