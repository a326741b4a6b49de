"""The exceptions. Each message names the cause and the way out."""

from __future__ import annotations


class FlagsmithRealtimeError(Exception):
    """Base class of every exception that this package raises."""


class ConfigError(FlagsmithRealtimeError):
    """A ``FLAGSMITH_`` setting is missing or wrong. Raised by ``init_app``."""


class NotInitializedError(FlagsmithRealtimeError, RuntimeError):
    """Flags were read outside an app context, or for an app without the extension."""


class FeatureNotFoundError(FlagsmithRealtimeError, LookupError):
    """A feature that Flagsmith does not have was read with ``FLAGSMITH_STRICT`` on.

    :param feature_name: the name that was read.
    :param message: the error, with the way out.
    """

    def __init__(self, feature_name: str, message: str) -> None:
        super().__init__(message)
        self.feature_name = feature_name


class HiddenFeatureError(FlagsmithRealtimeError, LookupError):
    """A feature that Flagsmith hides from browsers was named in ``flags.for_browser()``.

    :param feature_name: the name.
    :param reason: why Flagsmith hides it.
    """

    def __init__(self, feature_name: str, reason: str) -> None:
        super().__init__(
            f"The feature {feature_name!r} cannot go to a browser: {reason}. Do not name it in "
            "for_browser(), or change the settings of the feature or of the environment on "
            "Flagsmith."
        )
        self.feature_name = feature_name


class FetchError(FlagsmithRealtimeError):
    """Flagsmith's API could not be reached, refused the call, or gave an unusable answer.

    It is never raised into a request; the ``refresh_failed`` signal carries it.

    :param message: the failure, its URL, and what to check. Holds no secret.
    :param retry_after: the delay before a retry that the server asked for, in seconds.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class IdentityRefusedError(FetchError):
    """Flagsmith refuses an identity because of its identifier or a trait."""


class InvalidDocumentError(FetchError):
    """An answer or a file is not a valid environment document or list of flags."""
