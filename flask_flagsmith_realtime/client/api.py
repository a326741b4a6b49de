"""The client of Flagsmith's REST API: fetches the environment and makes a snapshot of it.

Used by one thread at a time, but for :meth:`API.interrupt`. Bodies are bounded, answers are checked
before anybody sees them, and the environment key goes to the API's own origin only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from flagsmith.models import Flag as EvaluatedFlag
from flagsmith.utils.identities import generate_identity_data

from ..config import Config
from ..exceptions import (
    FetchError,
    IdentityRefusedError,
    IdentitySerializationError,
    InvalidDocumentError,
)
from ..model import (
    Identity,
    Snapshot,
    check_environment_document,
    check_flags,
    check_identity,
    check_identity_overrides,
    parse_epoch_header,
    parse_iso_epoch,
    parse_json,
    snapshot_of_document,
    snapshot_of_flags,
)
from .deadline import Deadline
from .failures import (
    CrossOriginRedirectError,
    describe_failure,
    is_dropped,
    retry_after_seconds,
    status_text,
)
from .session import get_within_origin, make_session, origin, post_json
from .sockets import Sockets

#: The header of every answer that names the environment's epoch, in seconds.
EPOCH_HEADER = "X-Flagsmith-Document-Updated-At"

_LARGEST_BODY_BYTES = 64 * 1024 * 1024
#: How long the environment may take after its first answer could have begun, all pages of it.
_LONGEST_BODY_SECONDS = 60.0
_READ_BYTES = 65536
_MOST_PAGES = 1000
#: Refusals that are about what was asked for, not about who asks or how the server is.
_BAD_QUESTION = (400, 413, 422)


class API:
    """Flagsmith's API, for one environment.

    :param config: the app's settings.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._sockets = Sockets()
        self._session = make_session(config, self._sockets)
        self._headers = {
            **config.custom_headers,
            "Accept": "application/json",
            "X-Environment-Key": config.environment_key or "",
        }

    def fetch(self) -> Snapshot:
        """Ask for the environment.

        Never conditional: Flagsmith has been seen to answer 304 for up to a minute after a change.

        :raises FetchError: if there is no usable answer.
        """
        return self._fetch_document() if self._config.local_evaluation else self._fetch_flags()

    def fetch_identity(self, identity: Identity) -> list[EvaluatedFlag]:
        """Ask for one identity's flags. A request may be waiting, so this is bounded in all.

        :raises IdentityRefusedError: if Flagsmith does not take this identity.
        :raises FetchError: if there is no usable answer.
        """
        url = urljoin(self._config.api_url, "identities/")
        question = _question(identity, url)
        seconds = self._config.request_timeout_seconds

        def post() -> requests.Response:
            return post_json(self._session, url, self._headers, question, seconds)

        with Deadline(self._sockets, seconds) as deadline:
            _, body = self._ask(url, post, _LARGEST_BODY_BYTES, deadline)
        try:
            return [
                EvaluatedFlag.from_api_flag(state) for state in check_identity(parse_json(body))
            ]
        except InvalidDocumentError as error:
            raise _unusable(url, error) from None
        except (AttributeError, LookupError, TypeError) as error:
            reason = f"the Flagsmith SDK cannot read it ({type(error).__name__}: {error})"
            raise _unusable(url, InvalidDocumentError(reason)) from None

    def interrupt(self) -> None:
        """Make a fetch that hangs fail at once, and each one to come. For another thread."""
        self._sockets.end()

    def close(self) -> None:
        """Close idle connections."""
        self._session.close()

    def _fetch_document(self) -> Snapshot:
        """Fetch the environment document, all pages of it.

        Large documents come in pages, each naming the next in its Link header and bringing more
        identity overrides.
        """
        first_url = urljoin(self._config.api_url, "environment-document/")
        url, left, ends_at = first_url, _LARGEST_BODY_BYTES, self._ends_at()
        document: dict[str, Any] = {}
        overrides: list[Any] = []
        page_epochs: list[float] = []
        seen: set[str] = set()
        while True:
            seen.add(url)
            response, body = self._get(url, left, ends_at)
            left -= len(body)
            try:
                page = parse_json(body)
                if not document:
                    document = check_environment_document(page)
                    overrides.extend(document.get("identity_overrides") or ())
                elif isinstance(page, dict):
                    overrides.extend(check_identity_overrides(page.get("identity_overrides")))
                else:
                    raise InvalidDocumentError("a further page of it is not an object")
            except InvalidDocumentError as error:
                raise _unusable(first_url, error) from None
            epoch = parse_iso_epoch(page.get("updated_at"))
            if epoch is None:
                epoch = parse_epoch_header(response.headers.get(EPOCH_HEADER))
            if epoch is not None:
                page_epochs.append(epoch)
            following = response.links.get("next", {}).get("url")
            if following is None:
                break
            url = _next_url(url, following)
            if url in seen or len(seen) == _MOST_PAGES:
                raise FetchError(f"{first_url} has pages without end.")
        # A change between two pages leaves the first one old: the oldest epoch counts.
        oldest = min(page_epochs, default=None)
        try:
            return snapshot_of_document(
                {**document, "identity_overrides": overrides}, oldest, time.time()
            )
        except InvalidDocumentError as error:
            raise _unusable(first_url, error) from None

    def _fetch_flags(self) -> Snapshot:
        url = urljoin(self._config.api_url, "flags/")
        response, body = self._get(url, _LARGEST_BODY_BYTES, self._ends_at())
        try:
            answer = check_flags(parse_json(body))
        except InvalidDocumentError as error:
            raise _unusable(url, error) from None
        epoch = parse_epoch_header(response.headers.get(EPOCH_HEADER))
        return snapshot_of_flags(answer, epoch, time.time(), self._config.environment_key or "")

    def _ends_at(self) -> float:
        """When a fetch that begins now is to be over."""
        return time.monotonic() + self._config.request_timeout_seconds + _LONGEST_BODY_SECONDS

    def _get(self, url: str, most_bytes: int, ends_at: float) -> tuple[requests.Response, bytes]:
        timeout = self._config.request_timeout_seconds
        with Deadline(self._sockets, min(timeout, ends_at - time.monotonic())) as deadline:

            def get() -> requests.Response:
                response = get_within_origin(self._session, url, self._headers, (timeout, timeout))
                # A large body may take longer than the wait for it.
                deadline.extend(ends_at)
                return response

            return self._ask(url, get, most_bytes, deadline)

    def _ask(
        self,
        url: str,
        send: Callable[[], requests.Response],
        most_bytes: int,
        deadline: Deadline,
    ) -> tuple[requests.Response, bytes]:
        """Send a request and read the answer."""
        try:
            with self._send(send) as response:
                if response.status_code != 200:
                    raise self._refusal(response, url)
                body = _read(response, url, most_bytes)
                if deadline.passed:
                    # Some bodies have no other end than that of the connection.
                    raise TimeoutError
                return response, body
        except CrossOriginRedirectError as error:
            raise FetchError(
                f"Flagsmith could not be asked at {_bare(url)}: {describe_failure(error)}. If "
                "that is where Flagsmith's API is, set FLAGSMITH_API_URL to it."
            ) from None
        except (
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            OSError,
            ValueError,
        ) as error:
            is_late = deadline.passed and not isinstance(error, requests.Timeout)
            reason = describe_failure(TimeoutError() if is_late else error)
            raise FetchError(f"Flagsmith could not be asked at {_bare(url)}: {reason}.") from None

    def _send(self, send: Callable[[], requests.Response]) -> requests.Response:
        """Send a request; once more if a connection that was kept open is gone: the server may have
        closed it while the request was on its way."""
        opened = self._sockets.opened
        try:
            return send()
        except requests.ConnectionError as error:
            if self._sockets.opened != opened or not is_dropped(error):
                raise
        self._session.close()
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
                f"There is no Flagsmith API at {_bare(url)} (404). Check FLAGSMITH_API_URL: it "
                "ends in /api/v1/."
            )
        else:
            message = f"Flagsmith answered {status_text(response)} at {_bare(url)}."
        if status in _BAD_QUESTION and url.endswith("identities/"):
            return IdentityRefusedError(f"{message} Check the identity's identifier and traits.")
        return FetchError(message, retry_after=retry_after_seconds(response))


def _question(identity: Identity, url: str) -> bytes:
    """What to ask for an identity.

    :raises IdentitySerializationError: if that cannot be said.
    """
    question = generate_identity_data(
        identity.identifier, identity.traits, transient=identity.transient
    )
    try:
        return json.dumps(question, allow_nan=False).encode()
    except ValueError as error:
        raise IdentitySerializationError(
            f"Flagsmith was not asked at {url}: a trait of an identity is no JSON "
            f"({type(error).__name__}). Is it a number of thousands of digits?"
        ) from None


def _read(response: requests.Response, url: str, most_bytes: int) -> bytes:
    """Read a body, but not without bounds."""
    body = bytearray()
    while chunk := response.raw.read1(_READ_BYTES, decode_content=True):
        body += chunk
        if len(body) > most_bytes:
            raise FetchError(
                f"The answer of {_bare(url)} is larger than {_LARGEST_BODY_BYTES // 2**20} MiB."
            )
    return bytes(body)


def _next_url(url: str, following: str) -> str:
    """Where the next page is.

    :raises FetchError: if it is not where the key may go.
    """
    try:
        target = urljoin(url, following)
        if origin(target) == origin(url):
            return target
    except ValueError:
        pass
    raise FetchError(
        f"{_bare(url)} names a next page that is not on its own origin, where alone the "
        "environment key may go."
    )


def _bare(url: str) -> str:
    """A URL without its query: one text for all pages, and nothing that may be secret."""
    return urlsplit(url)._replace(query="", fragment="").geturl()


def _unusable(url: str, error: InvalidDocumentError) -> InvalidDocumentError:
    return InvalidDocumentError(
        f"The answer of {url} is not usable: {error}. Check that FLAGSMITH_API_URL is Flagsmith's "
        "API: it ends in /api/v1/."
    )
