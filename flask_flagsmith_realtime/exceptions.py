"""What can go wrong, as exceptions. Each message names the thing and the way out."""

from __future__ import annotations


class FlagsmithRealtimeError(Exception):
    """Base of every exception that this package raises."""


class ConfigError(FlagsmithRealtimeError):
    """A ``FLAGSMITH_`` setting is missing or wrong. Raised by ``init_app``."""


class NotInitializedError(FlagsmithRealtimeError, RuntimeError):
    """Flags were read outside an app context, or for an app without the extension."""


class FeatureNotFoundError(FlagsmithRealtimeError, LookupError):
    """A feature that Flagsmith does not have was read with ``FLAGSMITH_STRICT`` on.

    :param feature_name: the name that was read.
    :param message: what to tell the developer.
    """

    def __init__(self, feature_name: str, message: str) -> None:
        super().__init__(message)
        self.feature_name = feature_name


class FetchError(FlagsmithRealtimeError):
    """Flagsmith's API could not be asked, refused, or gave an unusable answer.

    It is never raised into a request: it is what the ``refresh_failed`` signal carries.

    :param message: what happened, at which URL, and what to check. Holds no secret.
    :param retry_after: how long the server asked to be left alone, in seconds.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class IdentityRefusedError(FetchError):
    """Flagsmith does not take one identity: its identifier, or a trait."""


class IdentitySerializationError(IdentityRefusedError):
    """Flagsmith cannot even be asked for one identity: a trait cannot be said in JSON."""


class InvalidDocumentError(FetchError):
    """An answer or a file is not the environment document, or the list of flags, it should be."""
