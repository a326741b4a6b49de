"""The keys of a fleet in Redis: reads them and writes them.

Three names have the same digest of the API's URL and the environment key, in braces so that a
cluster keeps them together. The environment key itself is nowhere in Redis.

- ``flask-flagsmith-realtime:{…}:environment``, a hash: the newest flags as an archive (``data``),
  their ``epoch``, a digest of their ``content`` with the epoch, when they were ``fetched_at``, and
  a ``version``, which differs from write to write; the last ``note`` of a webhook, and the
  ``report`` of the leader.
- ``flask-flagsmith-realtime:{…}:leader``, the lock: the token of the leader. It expires.
- ``flask-flagsmith-realtime:{…}:changes``, the channel. Its messages only say that a key has
  changed.

Scripts compare and write in one step, so a process that wakes from a pause cannot overwrite newer
flags.

Any thread may call a :class:`RedisStore`: the client's pool gives each call a connection. A
:class:`Subscription` belongs to one thread. A forked child makes new ones, and closes its copies of
the sockets.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import secrets
from collections.abc import Iterator
from typing import Any

from redis import Redis
from redis.client import PubSub
from redis.exceptions import TimeoutError as RedisTimeoutError

from ..client import Sockets, describe_failure
from ..config import Config
from ..exceptions import InvalidDocumentError
from ..model import Snapshot
from ..storage import pack, unpack
from . import redis_scripts
from .election import BEAT
from .redis_client import open_client, redacted_url

_DOMAIN = b"flask-flagsmith-realtime fleet 1"
_LARGEST_BYTES = 64 * 1024 * 1024
#: The TTL of shared flags that no process fetches any more.
_KEPT_SECONDS = 7 * 24 * 3600
_CONFIRMATION_SECONDS = 2.0
#: The timeout of a starting process, whose first flags a request may be waiting for. It is a
#: timeout of the socket, not a deadline, so that many processes can start at once on a busy
#: machine.
_FIRST_ANSWERS_SECONDS = 0.3

#: Parts of the errors of Redis or redis-py, and their meaning.
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
        "HSTRLEN, TYPE and PUBLISH are used",
    ),
    (("MOVED", "MovedError"), "it is a cluster, which needs a proxy before it"),
)


class StoreError(Exception):
    """Redis cannot be used. The message holds the cause and no password."""


class DamagedError(StoreError):
    """The shared flags of a version cannot be used."""

    def __init__(self, reason: str, version: str) -> None:
        super().__init__(reason)
        self.version = version


@dataclasses.dataclass(frozen=True)
class Beat:
    """The answer to a heartbeat."""

    #: ``True`` if this process leads.
    leads: bool
    #: The time to live of the leader's lock, in seconds.
    lock_seconds: float
    #: The version of the shared flags; ``None`` if there are none.
    version: str | None
    #: The last note of a webhook, which differs from the one before.
    note: str | None
    #: The time of the leader's last fetch; ``None`` if there are no flags.
    fetched_at: float | None
    #: The leader's :attr:`.Activity.report`.
    report: str | None
    #: A key that was of another type and was removed; usually ``None``.
    removed: str | None

    @property
    def note_moment(self) -> float | None:
        """The moment in the note, in seconds since 1970."""
        return _seconds((self.note or "").partition(" ")[2])


@dataclasses.dataclass(frozen=True)
class Stored:
    """The shared flags. Each write gives them another version."""

    version: str
    snapshot: Snapshot
    #: The newer epoch that they replaced on purpose, if they did.
    replaced: float | None


class RedisStore:
    """One environment's keys in Redis.

    :param config: the app's settings, with a Redis and a key.
    :param expiry_seconds: the TTL of the lock, in seconds.
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
        #: The address of Redis, without credentials.
        self.redacted_url = redacted_url(url)
        prefix = f"flask-flagsmith-realtime:{{{fleet_digest(config.api_url, key)}}}"
        self._keys = [f"{prefix}:environment", f"{prefix}:leader"]
        self._channel = f"{prefix}:changes"

    def use_normal_timeouts(self) -> None:
        """Ends the short timeouts of the start."""
        hasty, self._client = self._client, open_client(self._url, self._sockets)
        hasty.connection_pool.disconnect(inuse_connections=False)

    def beat(self, report: str) -> Beat:
        """Takes the lock if it is free, renews it if this process holds it.

        :param report: the state of this process, for the others if it leads.
        :raises StoreError: like all of these methods.
        """
        leads, milliseconds, removed, *marks = self._run(
            BEAT, self._token, self._expiry, report, _KEPT_SECONDS
        )
        version, note, fetched_at, leader_report = map(_text, marks)
        return Beat(
            leads=bool(leads),
            lock_seconds=milliseconds / 1000,
            version=version,
            note=note,
            fetched_at=_seconds(fetched_at),
            report=leader_report,
            removed=_text(removed) or None,
        )

    def read(
        self, held: Snapshot | None = None, environment_id: str | None = None
    ) -> Stored | None:
        """Reads the shared flags and validates them like an answer of the API.

        :param held: the flags that this process holds. The same flags are not transferred.
        :param environment_id: the environment that they have to be of, if one is known.
        :returns: the flags; ``None`` if there are none.
        :raises DamagedError: if they cannot be used.
        """
        known = "" if held is None else held.content_digest
        version, *content = self._run(redis_scripts.READ, _LARGEST_BYTES, known)
        if version is None:
            return None
        version = version.decode("utf-8", "replace")
        place = f"what lies in it at {self._keys[0]}"
        try:
            stored = Stored(version, *self._unpack(held, *content))
        except (InvalidDocumentError, TypeError, ValueError) as error:
            raise DamagedError(f"{place} is not usable ({error})", version) from None
        if environment_id not in (None, stored.snapshot.environment_id):
            raise DamagedError(f"{place} is of another environment", version)
        return stored

    def discard(self, version: str) -> None:
        """Removes the shared flags, unless they are another version by now."""
        self._run(redis_scripts.DISCARD, version)

    def report_corruption(self) -> None:
        """Notifies the leader that the shared flags cannot be used."""
        with _explained():
            self._client.publish(self._channel, "damaged")

    def write(self, snapshot: Snapshot, version: str, replaced: float | None = None) -> str | None:
        """Stores flags, unless newer ones are shared, and notifies the others.

        :param version: the name of this write, see :func:`new_version`.
        :param replaced: the newer epoch that they replace on purpose. Only the leader may do that.
        :returns: the version that is shared now: another one if the flags were shared already;
            ``None`` if they were not stored.
        """
        epoch, fetched_at = _number(snapshot.epoch), repr(snapshot.fetched_at)
        content = f"{snapshot.content_digest} {epoch}"
        if replaced is None:
            # A fetch that brought nothing new packs and sends nothing.
            marks = epoch, content, fetched_at, _KEPT_SECONDS
            if (there := self._run(redis_scripts.CONFIRM, *marks)) is not None:
                return _text(there)
        try:
            data = pack(snapshot, self._environment_key)
        except (RecursionError, TypeError, ValueError) as error:
            raise StoreError(f"the flags cannot be stored in it: {error}") from None
        if len(data) > _LARGEST_BYTES:
            raise StoreError(f"the flags are larger than {_LARGEST_BYTES // 2**20} MiB")
        stored = self._run(
            redis_scripts.STORE,
            self._token,
            self._channel,
            version,
            epoch,
            fetched_at,
            content,
            data,
            _KEPT_SECONDS,
            _number(replaced),
        )
        return _text(stored)

    def leave_note(self, moment: float | None) -> None:
        """Leaves the note of a webhook for the leader, and notifies it.

        :param moment: the moment of the change, in seconds since 1970, if the webhook names it.
        """
        # Each note differs from the one before.
        note = f"{new_version()} {_number(moment)}"
        self._run(redis_scripts.LEAVE_NOTE, self._channel, note)

    def release(self) -> None:
        """Releases the lock, if this process holds it, and notifies the others."""
        self._run(redis_scripts.RELEASE, self._token, self._channel)

    @contextlib.contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        """Subscribes to the channel for the time of a ``with`` statement."""
        pubsub = self._client.pubsub()  # type: ignore[no-untyped-call]
        try:
            with _explained():
                pubsub.subscribe(self._channel)
                # Only what is published after the confirmation is sure to come.
                if pubsub.get_message(timeout=_CONFIRMATION_SECONDS) is None:
                    raise RedisTimeoutError("no confirmation")
            yield Subscription(pubsub)
        finally:
            with contextlib.suppress(Exception):
                pubsub.close()

    def interrupt(self) -> None:
        """Ends all waits for Redis at once. The next call connects again."""
        self._sockets.shut_down()

    def close(self) -> None:
        """Closes all connections and refuses new ones: the thread of a fetch may still write."""
        self._sockets.end()
        with contextlib.suppress(Exception):
            self._client.connection_pool.disconnect(inuse_connections=False)

    def _unpack(
        self,
        held: Snapshot | None,
        epoch: bytes | None = None,
        fetched_at: bytes | None = None,
        replaced: bytes | None = None,
        data: bytes | None = None,
        content: bytes | None = None,
    ) -> tuple[Snapshot, float | None]:
        if data is None:
            raise ValueError(f"it is larger than {_LARGEST_BYTES // 2**20} MiB, or not there")
        if held is not None and content is not None:
            snapshot = dataclasses.replace(held, epoch=_seconds(_text(content.rpartition(b" ")[2])))
        else:
            snapshot = unpack(data, self._environment_key, held)
        if _seconds(_text(epoch)) != snapshot.epoch:
            raise ValueError("its epoch is not that of its data")
        snapshot = dataclasses.replace(snapshot, fetched_at=float(fetched_at or b""))
        return snapshot, float(replaced) if replaced else None

    def _run(self, script: str, *arguments: Any) -> Any:
        with _explained():
            return self._client.register_script(script)(keys=self._keys, args=arguments)


class Subscription:
    """A subscription to the channel."""

    def __init__(self, pubsub: PubSub) -> None:
        self._pubsub = pubsub

    def wait(self, seconds: float) -> str | None:
        """Waits for a message.

        :param seconds: the longest wait.
        :returns: the message; ``None`` if none came in time, or one without a meaning.
        :raises StoreError: if the connection broke.
        """
        with _explained():
            message = self._pubsub.get_message(timeout=max(seconds, 0.0))
        if message is None or message.get("type") != "message":
            return None
        return bytes(message["data"]).decode("utf-8", "replace")


def new_version() -> str:
    """Returns a name for a write that no other write has."""
    return secrets.token_hex(8)


def fleet_digest(api_url: str, environment_key: str) -> str:
    """Returns the name of a fleet. Its key is long and random: it cannot be guessed from the
    digest."""
    return hashlib.sha256(
        b"\0".join((_DOMAIN, api_url.encode(), environment_key.encode()))
    ).hexdigest()


def _number(epoch: float | None) -> str:
    return "" if epoch is None else repr(epoch)


def _seconds(text: str | None) -> float | None:
    """Reads a number that Redis holds; ``None`` for anything else."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turns what the client raises into a :class:`StoreError` with its cause."""
    try:
        yield
    except Exception as error:
        # Not only its own errors: a connection that is shut down under it breaks in many ways.
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
    # Without an explanation of its own, it is the error's type.
    is_explained = type(error).__name__ not in cause
    return cause if is_explained else f"{cause}: {answer[:100]}"
