"""The client of Flagsmith's REST API: fetches the environment, or the flags of one identity.

Used by one thread at a time, except :meth:`API.interrupt`. Bodies, pages and times are bounded,
answers are validated before they are returned, and the environment key is sent to the API's own
origin only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from flagsmith.utils.identities import generate_identity_data

from ..config import Config
from ..exceptions import (
    FetchError,
    IdentityRefusedError,
    InvalidDocumentError,
)
from ..model import (
    FlagState,
    Identity,
    Page,
    Snapshot,
    decode_identity,
    first_page,
    further_page,
    parse_epoch,
    parse_iso_epoch,
    snapshot_of_flags,
    snapshot_of_pages,
)
from .backoff import LONGEST_RETRY_AFTER_SECONDS
from .body import join_pieces
from .deadline import Deadline
from .failures import (
    CrossOriginRedirectError,
    describe_failure,
    is_dropped,
    is_unreachable,
    retry_after_seconds,
    status_text,
)
from .session import api_headers, get_within_origin, make_session, origin, post_json
from .sockets import Sockets

#: The header of every answer that holds the environment's epoch, in seconds.
EPOCH_HEADER = "X-Flagsmith-Document-Updated-At"

_LARGEST_BODY_BYTES = 64 * 1024 * 1024
#: Time for all pages of the environment, in addition to that for the head of the first answer.
_LONGEST_BODY_SECONDS = 60.0
_READ_BYTES = 65536
#: Pages of one document. The hosted service's limit of 2,000 overrides makes a few.
_MOST_PAGES = 100
#: Age at which a connection is replaced, so that a new address of the API's host is noticed.
_LONGEST_CONNECTION_SECONDS = 60.0
#: Statuses of an identity's answer that are caused by the identity itself.
_REFUSED_IDENTITY_STATUSES = (400, 413, 422)


class API:
    """The client of one environment. It renews a connection that is a minute old."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._sockets = Sockets()
        self._session = make_session(config, self._sockets)
        self._renew_at = time.monotonic() + _LONGEST_CONNECTION_SECONDS
        #: ``True`` if a call may be repeated when the server closes its connection: once after each
        #: success, so that a server that closes all of them is not called twice as often.
        self._may_repeat = False
        self._headers = api_headers(config)

    def fetch(self, held: Snapshot | None = None) -> Snapshot:
        """Fetches the environment.

        Never conditional: Flagsmith has been seen to answer 304 for up to a minute after a change.

        :param held: an earlier snapshot. What is the same by bytes is not decoded again.
        :raises FetchError: if there is no usable answer.
        """
        if self._config.local_evaluation:
            return self._fetch_document(held)
        return self._fetch_flags(held)

    def fetch_identity(self, identity: Identity) -> tuple[Sequence[FlagState], float | None]:
        """Fetches one identity's flags, within ``FLAGSMITH_REQUEST_TIMEOUT_SECONDS`` in all.

        :returns: the flags, and the epoch in the answer's header.
        :raises IdentityRefusedError: if Flagsmith does not accept this identity.
        :raises FetchError: if there is no usable answer.
        """
        url = urljoin(self._config.api_url, "identities/")
        content = _serialize(identity)
        seconds = self._config.request_timeout_seconds

        def post() -> requests.Response:
            return post_json(self._session, url, self._headers, content, seconds)

        with Deadline(self._sockets, seconds) as deadline:
            response, body = self._call(url, post, _LARGEST_BODY_BYTES, deadline)
        try:
            return decode_identity(body), parse_epoch(response.headers.get(EPOCH_HEADER))
        except InvalidDocumentError as error:
            raise self._unusable(url, error) from None

    def renew_connection(self) -> None:
        """Makes the next call on a new connection, for which the API's host is resolved again.

        A kept connection stays with one machine. The host may have moved to another one, or a load
        balancer of connections may have chosen a replica that lags.
        """
        self._session.close()
        self._renew_at = time.monotonic() + _LONGEST_CONNECTION_SECONDS

    def interrupt(self) -> None:
        """Ends a call that is under way, and each later one, with an error. Thread-safe."""
        self._sockets.end()

    def close(self) -> None:
        """Closes idle connections."""
        self._session.close()

    def _fetch_document(self, held: Snapshot | None) -> Snapshot:
        url = urljoin(self._config.api_url, "environment-document/")
        document = None if held is None else held.document
        pages: list[Page] = []
        epochs: list[float] = []
        try:
            known = iter(() if held is None else held.pages)
            for response, body in self._document_pages(url, known):
                page = (further_page if pages else first_page)(body, document)
                pages.append(page)
                epoch = parse_iso_epoch(page.updated_at)
                if epoch is None:
                    epoch = parse_epoch(response.headers.get(EPOCH_HEADER))
                if epoch is not None:
                    epochs.append(epoch)
            # A change between two pages leaves the first one old: the oldest epoch counts.
            oldest = min(epochs, default=None)
            snapshot = snapshot_of_pages(pages, oldest, time.time(), held)
        except InvalidDocumentError as error:
            raise self._unusable(url, error) from None
        return replace(snapshot, server_date=_server_date(response))

    def _document_pages(
        self, url: str, known: Iterator[bytes]
    ) -> Iterator[tuple[requests.Response, bytes]]:
        """Fetches the pages of a document.

        Each page names the next one in its Link header and brings more identity overrides.

        :param known: the pages of an earlier document.
        :raises FetchError: if a page is not usable, or if the pages have no end.
        """
        first_url = url
        bytes_left, ends_at = _LARGEST_BODY_BYTES, self._ends_at()
        seen: set[str] = set()
        while True:
            seen.add(url)
            response, body = self._get(url, bytes_left, ends_at, next(known, b""))
            yield response, body
            bytes_left -= len(body)
            following = response.links.get("next", {}).get("url")
            if following is None:
                return
            url = _next_url(url, following)
            problem = "pages in a circle" if url in seen else f"more than {_MOST_PAGES} pages"
            if url in seen or len(seen) == _MOST_PAGES:
                # Each try costs as many calls as there are pages: the next one is far away.
                raise FetchError(
                    f"The document of {first_url} has {problem}.",
                    retry_after=LONGEST_RETRY_AFTER_SECONDS,
                )

    def _fetch_flags(self, held: Snapshot | None) -> Snapshot:
        url = urljoin(self._config.api_url, "flags/")
        known = b"" if held is None else held.answer or b""
        response, body = self._get(url, _LARGEST_BODY_BYTES, self._ends_at(), known)
        epoch = parse_epoch(response.headers.get(EPOCH_HEADER))
        environment_id = self._config.environment_key or ""
        try:
            snapshot = snapshot_of_flags(body, epoch, time.time(), environment_id, held)
        except InvalidDocumentError as error:
            raise self._unusable(url, error) from None
        return replace(snapshot, server_date=_server_date(response))

    def _unusable(self, url: str, error: InvalidDocumentError) -> InvalidDocumentError:
        return InvalidDocumentError(
            f"The answer of {url} is not usable: {error}. {_url_advice(self._config)}"
        )

    def _ends_at(self) -> float:
        """Returns the end of the time of a fetch that begins now."""
        return time.monotonic() + self._config.request_timeout_seconds + _LONGEST_BODY_SECONDS

    def _get(
        self, url: str, most_bytes: int, ends_at: float, known: bytes
    ) -> tuple[requests.Response, bytes]:
        timeout = self._config.request_timeout_seconds
        with Deadline(self._sockets, min(timeout, ends_at - time.monotonic())) as deadline:

            def get() -> requests.Response:
                response = get_within_origin(self._session, url, self._headers, (timeout, timeout))
                # A large body may take longer than the wait for it.
                deadline.extend(ends_at)
                return response

            return self._call(url, get, most_bytes, deadline, known)

    def _call(
        self,
        url: str,
        send: Callable[[], requests.Response],
        most_bytes: int,
        deadline: Deadline,
        known: bytes = b"",
    ) -> tuple[requests.Response, bytes]:
        """Sends a request and reads the answer."""
        try:
            with self._send(send) as response:
                if response.status_code != 200:
                    raise self._refusal(response, url)
                body = _read(response, url, most_bytes, known)
                if deadline.passed:
                    # A body without a length ends with the connection, also if we shut it down.
                    raise TimeoutError
                self._may_repeat = True
                return response, body
        except CrossOriginRedirectError as error:
            raise FetchError(
                f"Flagsmith could not be asked at {_bare(url)}: {describe_failure(error)}. If "
                "that is where Flagsmith's API is, set FLAGSMITH_API_URL to it."
            ) from None
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            is_late = deadline.passed and not isinstance(error, requests.Timeout)
            reason = describe_failure(TimeoutError() if is_late else error)
            message = f"Flagsmith could not be asked at {_bare(url)}: {reason}."
            if is_unreachable(error):
                message += (
                    " Check FLAGSMITH_API_URL, and that Flagsmith is running there and can be "
                    "reached from this machine."
                )
            raise FetchError(message) from None

    def _send(self, send: Callable[[], requests.Response]) -> requests.Response:
        """Sends a request, and repeats it if the server closed the connection in that moment.

        Servers close connections that are idle, or all of them when they are restarted.
        """
        if time.monotonic() >= self._renew_at:
            self.renew_connection()
        try:
            response = send()
            if response.status_code != 408 or not self._may_repeat:
                return response
            response.close()
        except requests.ConnectionError as error:
            if not (self._may_repeat and is_dropped(error)):
                raise
        self._may_repeat = False
        self.renew_connection()
        return send()

    def _refusal(self, response: requests.Response, url: str) -> FetchError:
        status = response.status_code
        if status in (401, 403):
            message = (
                f"Flagsmith refused the {self._config.key_kind} at {_bare(url)} with {status}. "
                "Check that FLAGSMITH_ENVIRONMENT_KEY is a key of an environment of that "
                "Flagsmith, is not deleted or expired, and that FLAGSMITH_API_URL is the right one."
            )
        elif status == 404:
            message = (
                f"There is no Flagsmith API at {_bare(url)} (404). {_url_advice(self._config)}"
            )
        else:
            message = f"Flagsmith answered {status_text(response)} at {_bare(url)}."
        if status in _REFUSED_IDENTITY_STATUSES and url.endswith("identities/"):
            return IdentityRefusedError(f"{message} Check the identity's identifier and traits.")
        return FetchError(message, retry_after=retry_after_seconds(response))


def _serialize(identity: Identity) -> bytes:
    traits: dict[str, Any] = {
        name: {"value": value, "transient": True} if name in identity.transient_traits else value
        for name, value in identity.traits.items()
    }
    content = generate_identity_data(identity.identifier, traits, transient=identity.transient)
    return json.dumps(content).encode()


def _read(response: requests.Response, url: str, most_bytes: int, known: bytes) -> bytes:
    """Reads a body.

    :param known: an earlier body, which is returned if it comes again.
    :raises FetchError: if it is too large.
    """
    read = partial(response.raw.read1, _READ_BYTES, decode_content=True)
    body = join_pieces(iter(read, b""), most_bytes, known)
    if len(body) > most_bytes:
        raise FetchError(
            f"The answer of {_bare(url)} is larger than {_LARGEST_BODY_BYTES // 2**20} MiB."
        )
    return body


def _next_url(url: str, following: str) -> str:
    """Returns the URL of the next page.

    :raises FetchError: if it is on another origin, where the key must not go.
    """
    try:
        target = urljoin(url, following)
        if origin(target) == origin(url):
            return target
    except ValueError:
        pass
    raise FetchError(
        f"{_bare(url)} names a next page on another origin. The environment key is sent to its own "
        "origin only."
    )


def _bare(url: str) -> str:
    """Returns a URL without its query: the same for all pages, and without secrets."""
    return urlsplit(url)._replace(query="", fragment="").geturl()


def _url_advice(config: Config) -> str:
    """Names the URL that was probably meant. Behind a gateway the API may have any path, so no path
    is refused before there is a wrong answer."""
    if config.api_url == config.usual_api_url:
        return "Check that FLAGSMITH_API_URL is Flagsmith's API."
    return f"FLAGSMITH_API_URL usually ends in /api/v1/: did you mean {config.usual_api_url} ?"


def _server_date(response: requests.Response) -> float | None:
    """Returns the Date of an answer, in seconds since 1970."""
    try:
        return parsedate_to_datetime(response.headers["Date"]).timestamp()
    except (ArithmeticError, LookupError, TypeError, ValueError, OSError):
        return None
