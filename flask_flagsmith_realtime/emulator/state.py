"""The emulator's state: the current environment, its file, and the announcement of changes.

One lock serializes changes. A change works on a copy of the document, which is saved to the file,
then becomes the environment, and only then is announced: a client that refetches because of the
announcement gets it. Readers take :attr:`State.environment` without a lock. While the lock is held,
only the locks of the listeners and the journal are taken, which never wait for anything.
"""

from __future__ import annotations

import copy
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

from . import document as documents
from .document import Document, DocumentError
from .edits import EditError
from .environment import Environment
from .journal import Change, Journal
from .listeners import Listener, Listeners
from .override_texts import as_json
from .usage import Usage

#: A state file that was written so many seconds after the document's own date was edited by hand.
EDITED_AFTER_SECONDS = 1.0


class StateFileError(Exception):
    """The state file cannot be used. The text names it, the reason and the way out."""


class State:
    """An environment that can be changed.

    :param document: the document to start with if there is no file yet; the sample if not given.
    :param path: the state file; without one nothing is saved.
    :param server_side_key: ``ser.`` and the client-side key if not given. An environment document
        holds no server-side key, so the emulator makes one.
    :raises StateFileError: if the file exists and cannot be read.
    """

    def __init__(
        self,
        document: Document | None = None,
        path: str | os.PathLike[str] | None = None,
        server_side_key: str | None = None,
    ) -> None:
        self.path = None if path is None else Path(path)
        self.listeners = Listeners()
        self.journal = Journal()
        self.usage = Usage()
        self._lock = threading.Lock()
        if self.path is not None and self.path.exists():
            document = _load(self.path)
            # Changes before a restart are not known: no client's copy counts as unmodified.
            self._modified_at = time.time()
        else:
            document = documents.sample() if document is None else copy.deepcopy(document)
            self._modified_at = documents.epoch(documents.check(document))
            self._save(document)
        self._modified_before = 0.0
        self._environment = Environment(document)
        self._silent = False
        self._header = _LaggingHeader(self._environment.epoch)
        self.server_side_key = server_side_key or f"ser.{document['api_key']}"
        if not self.server_side_key.startswith("ser."):
            raise ValueError("A server-side key starts with 'ser.': by this, clients know it.")

    @property
    def environment(self) -> Environment:
        """The current environment."""
        return self._environment

    @property
    def last_modified(self) -> datetime:
        """The ``Last-Modified`` of the served document, in whole seconds."""
        return datetime.fromtimestamp(int(self._modified_at), timezone.utc)

    def unmodified_since(self, moment: datetime) -> bool:
        """Returns whether the served document is the one that had this ``Last-Modified``.

        It is not if it changed twice within that second: the two versions have the same date.
        """
        second = int(moment.timestamp())
        with self._lock:
            return int(self._modified_before) < int(self._modified_at) <= second

    def announce(self, edit: Callable[[Document], str]) -> float:
        """Changes the environment and announces the change on the stream.

        :param edit: changes the document that it gets and returns a sentence that says what it did.
        :returns: the new epoch, greater than all before; within :meth:`silent`, the old one.
        """
        if self._silent:
            self.amend(edit)
            return self._environment.epoch
        with self._lock:
            document, what = self._edited(edit)
            document["updated_at"] = _next_moment(document["updated_at"]).isoformat(
                timespec="microseconds"
            )
            self._replace(document)
            epoch = self._environment.epoch
            self._header.advance(epoch)
            self.journal.record_change(Change(what, epoch))
            self.listeners.announce(epoch)
        return epoch

    def amend(self, edit: Callable[[Document], str]) -> None:
        """Changes what Flagsmith does not announce: traits. The epoch stays the same."""
        with self._lock:
            document, what = self._edited(edit)
            if _differ(document, self._environment.document):
                self._replace(document)
                self.journal.record_change(Change(what, None))

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Announces no change that is made meanwhile."""
        self._silent = True
        try:
            yield
        finally:
            self._silent = False

    @property
    def header_epoch(self) -> float:
        """The epoch that the header of answers carries: the environment's, or an older one."""
        return self._header.epoch

    def lag_header(self, seconds: float) -> None:
        """Lets the header of answers carry the old epoch for so long after each change."""
        self._header.lag_seconds = seconds

    def listen(self) -> tuple[Listener, float]:
        """Opens a stream.

        :returns: the listener, and the epoch after which it gets every change.
        :raises TooManyStreamsError: if there are too many.
        """
        with self._lock:
            return self.listeners.join(), self._environment.epoch

    def _edited(self, edit: Callable[[Document], str]) -> tuple[Document, str]:
        """Returns an edited copy, which shares the entries of identities that did not change."""
        before = self._environment.document["identity_overrides"]
        document = copy.deepcopy(self._environment.document | {"identity_overrides": []})
        document["identity_overrides"] = list(before)
        what = edit(document)
        checked = set(map(id, before))
        fresh = [entry for entry in document["identity_overrides"] if id(entry) not in checked]
        try:
            documents.check(document | {"identity_overrides": fresh})
        except DocumentError as error:
            raise EditError(f"the document would be invalid: {error}") from None
        return document, what

    def _replace(self, document: Document) -> None:
        self._save(document)
        environment = Environment(document, self._environment)
        # Serialized before the change is announced: no request waits for it.
        if environment.served_document != self._environment.served_document:
            self._modified_before = self._modified_at
            self._modified_at = max(time.time(), environment.epoch, self._modified_at)
        self._environment = environment

    def _save(self, document: Document) -> None:
        """Writes the file atomically: a reader finds the old one or the new one."""
        if self.path is None:
            return
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        try:
            _write(self.path, text, documents.epoch(document))
        except OSError as error:
            raise StateFileError(
                f"The state file {self.path} cannot be written: {error.strerror}. "
                "Name a file in a directory that exists and can be written to."
            ) from None


class _LaggingHeader:
    """The epoch in the header of answers. A real server keeps it in a cache for up to a minute."""

    def __init__(self, epoch: float) -> None:
        self.lag_seconds = 0.0
        self._versions = (epoch, epoch, 0.0)  # the old epoch, the new one, when it became new

    def advance(self, epoch: float) -> None:
        """Takes over the epoch of a change."""
        self._versions = (self.epoch, epoch, time.monotonic())

    @property
    def epoch(self) -> float:
        """The epoch to show now."""
        old, new, since = self._versions
        return old if time.monotonic() - since < self.lag_seconds else new


def _load(path: Path) -> Document:
    """Reads a state file.

    A file that was edited by hand, and so is newer than its ``updated_at``, gets that moment as its
    epoch: apps that hold its flags see that they have changed.

    :raises StateFileError: if it cannot be read.
    """
    try:
        document = documents.parse(path.read_text("utf-8"))
        edited_at = path.stat().st_mtime
    except (OSError, UnicodeDecodeError, DocumentError) as error:
        raise StateFileError(
            f"The state file {path} cannot be used: {error}. Fix it, or move it away: "
            "the emulator then makes a new one from its sample."
        ) from None
    if edited_at > documents.epoch(document) + EDITED_AFTER_SECONDS:
        document["updated_at"] = _as_moment(edited_at).isoformat(timespec="microseconds")
    return document


def _differ(one: Document, other: Document) -> bool:
    """Compares two documents as JSON, in which ``1`` and ``true`` differ, as they do not in Python.

    Entries of identities that are the same object are not looked at: there can be many.
    """
    entries, others = one["identity_overrides"], other["identity_overrides"]
    rest = [as_json(document | {"identity_overrides": None}) for document in (one, other)]
    return (
        rest[0] != rest[1]
        or len(entries) != len(others)
        or any(
            a is not b and as_json(a) != as_json(b) for a, b in zip(entries, others, strict=True)
        )
    )


def _write(path: Path, text: str, moment: float) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # A later time shows _load that the file was edited by hand.
        os.utime(name, (moment, moment))
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _as_moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def _next_moment(text: str) -> datetime:
    """Returns the current time, but later than before: two changes never share an epoch."""
    before = documents.parse_moment(text).astimezone(timezone.utc)
    return max(datetime.now(timezone.utc), before + timedelta(microseconds=1))
