"""The offline file: an environment document to serve flags from, with no network at all."""

from __future__ import annotations

import time
from pathlib import Path

from ..exceptions import ConfigError, InvalidDocumentError
from ..model import MAX_BYTES, Snapshot, first_page, parse_iso_epoch, snapshot_of_pages
from .files import read_regular_file


def read_offline_file(path: str) -> Snapshot:
    """Reads the file that ``FLAGSMITH_OFFLINE_FILE`` names.

    :param path: a file with an environment document as JSON, as Flagsmith answers
        ``environment-document/``.
    :raises ConfigError: if it cannot be read, or is not an environment document.
    """
    try:
        page = first_page(read_regular_file(Path(path), MAX_BYTES))
        return snapshot_of_pages([page], parse_iso_epoch(page.updated_at), time.time())
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
    except InvalidDocumentError as error:
        reason = f"is not an environment document: {error}"
    raise ConfigError(
        f"FLAGSMITH_OFFLINE_FILE {path} {reason}. It takes what Flagsmith answers at "
        "environment-document/ to a server-side key, saved as JSON."
    )
