"""The offline file: an environment document to serve flags from, with no network at all."""

from __future__ import annotations

import time
from pathlib import Path

from ..exceptions import ConfigError, InvalidDocumentError
from ..model import (
    Snapshot,
    check_environment_document,
    parse_iso_epoch,
    parse_json,
    snapshot_of_document,
)


def read_offline_file(path: str) -> Snapshot:
    """Read the file that ``FLAGSMITH_OFFLINE_FILE`` names.

    :param path: a file with an environment document as JSON, as Flagsmith answers
        ``environment-document/``.
    :raises ConfigError: if it cannot be read, or is not an environment document.
    """
    try:
        document = check_environment_document(parse_json(Path(path).read_bytes()))
        epoch = parse_iso_epoch(document.get("updated_at"))
        return snapshot_of_document(document, epoch, time.time())
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
    except InvalidDocumentError as error:
        reason = f"is not an environment document: {error}"
    raise ConfigError(
        f"FLAGSMITH_OFFLINE_FILE {path} {reason}. It takes what Flagsmith answers at "
        "environment-document/ to a server-side key, saved as JSON."
    )
