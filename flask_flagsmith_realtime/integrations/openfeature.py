"""A provider for the OpenFeature SDK.

Evaluations read the flags of the current app context, as ``flags`` does, so that a request sees one
state of them through both. Outside a context of the app they read the newest flags. Events are
emitted in the thread in which the extension sends its signals.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import NoneType
from typing import Any, TypeVar, cast

from flask import Flask

from .. import logs
from ..app_state import state_of
from ..current import flags_of
from ..exceptions import FeatureNotFoundError, FetchError
from ..extension import FlagsmithRealtime
from ..model import Flag, FlagChange, Identity, Snapshot
from ..reading import Flags
from ..signals import flags_changed, refresh_failed, snapshot_refreshed
from ._extras import missing_package
from ._reasons import reason_of

try:
    from openfeature.evaluation_context import EvaluationContext
    from openfeature.event import ProviderEventDetails
    from openfeature.exception import (
        ErrorCode,
        FlagNotFoundError,
        GeneralError,
        InvalidContextError,
        ParseError,
        TypeMismatchError,
    )
    from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType
    from openfeature.provider import AbstractProvider, Metadata
    from openfeature.track import TrackingEventDetails
except ImportError as error:
    raise missing_package("openfeature", "openfeature-sdk >= 0.9", error) from None

__all__ = ["EXPOSURE", "FlagsmithRealtimeProvider"]

logger = logs.SafeLogger(logging.getLogger(__name__))

#: The event by which an app reports an exposure, as in Flagsmith's other providers. Its attribute
#: ``flag_key`` names the feature, ``variant`` the variant if it is not that of the flag.
EXPOSURE = "feature_flag.exposure"

_Value = TypeVar("_Value")
_Object = Sequence[FlagValueType] | Mapping[str, FlagValueType]


class FlagsmithRealtimeProvider(AbstractProvider):
    """Provides an app's flags to the OpenFeature SDK.

    .. code-block:: python

        api.set_provider(FlagsmithRealtimeProvider(flagsmith, app))

    The options are those of Flagsmith's own provider.

    :param flagsmith: the app's extension.
    :param app: the app.
    :param use_boolean_config_value: a boolean is the feature's value, instead of whether it is on.
    :param return_value_for_disabled_flags: the value of a feature that is off is returned, instead
        of an error.
    :param use_flagsmith_defaults: ``FLAGSMITH_DEFAULTS`` are returned, instead of an error.
    :raises TypeError: if the extension or the app is something else.
    """

    def __init__(
        self,
        flagsmith: FlagsmithRealtime,
        app: Flask,
        use_boolean_config_value: bool = False,
        return_value_for_disabled_flags: bool = False,
        use_flagsmith_defaults: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(flagsmith, FlagsmithRealtime) or not isinstance(app, Flask):
            raise TypeError(
                "FlagsmithRealtimeProvider takes the app's FlagsmithRealtime and the app, not "
                f"{type(flagsmith).__name__} and {type(app).__name__}."
            )
        self._app = app
        self._use_boolean_value = use_boolean_config_value
        self._serve_disabled = return_value_for_disabled_flags
        self._serve_defaults = use_flagsmith_defaults
        self._is_ready = True

    def get_metadata(self) -> Metadata:
        return Metadata(name="Flagsmith")

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Begins to emit events. Does not wait for Flagsmith: the first evaluation does.

        :raises NotInitializedError: if the app has no extension.
        """
        state_of(self._app)
        flags_changed.connect(self._changed, sender=self._app)
        snapshot_refreshed.connect(self._refreshed, sender=self._app)
        refresh_failed.connect(self._failed, sender=self._app)

    def shutdown(self) -> None:
        """Ends the events. The extension goes on."""
        flags_changed.disconnect(self._changed, sender=self._app)
        snapshot_refreshed.disconnect(self._refreshed, sender=self._app)
        refresh_failed.disconnect(self._failed, sender=self._app)

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        flag = self._flag(flag_key, evaluation_context)
        if not self._use_boolean_value:
            return _details(flag, flag.enabled)
        return self._typed(flag, bool, "a boolean")

    def resolve_string_details(
        self,
        flag_key: str,
        default_value: str,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[str]:
        return self._typed(self._flag(flag_key, evaluation_context), str, "text")

    def resolve_integer_details(
        self,
        flag_key: str,
        default_value: int,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[int]:
        return self._typed(self._flag(flag_key, evaluation_context), int, "an integer")

    def resolve_float_details(
        self,
        flag_key: str,
        default_value: float,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[float]:
        flag = self._flag(flag_key, evaluation_context)
        value = self._value(flag)
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            # Flagsmith has no such numbers: they are text there.
            try:
                return _details(flag, float(value))
            except ValueError:
                pass
        raise _mismatch(flag, "a number")

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: _Object,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[_Object]:
        flag = self._flag(flag_key, evaluation_context)
        if not isinstance(self._value(flag), str):
            raise _mismatch(flag, "JSON")
        try:
            value = flag.json()
        except ValueError as error:
            raise ParseError(error_message=str(error)) from None
        if not isinstance(value, (dict, list)):
            raise _mismatch(flag, "a JSON object or array")
        return _details(flag, cast("_Object", value))

    def track(
        self,
        tracking_event_name: str,
        evaluation_context: EvaluationContext | None = None,
        tracking_event_details: TrackingEventDetails | None = None,
    ) -> None:
        """Reports an event, or with the name :data:`EXPOSURE` an exposure. Never raises."""
        details = tracking_event_details or TrackingEventDetails()
        try:
            found = self._flags(evaluation_context)
            if tracking_event_name == EXPOSURE:
                self._expose(found, dict(details.attributes))
            else:
                metadata = details.attributes or None
                reporter = state_of(self._app).reporter
                reporter.track(tracking_event_name, found.identity, details.value, metadata)
        except Exception as error:
            logger.warning(
                "The event %r of OpenFeature is not reported: %s",
                tracking_event_name,
                error,
                extra=logs.fields("openfeature_event_refused"),
            )

    def _expose(self, found: Flags, attributes: dict[str, Any]) -> None:
        name, variant = attributes.pop("flag_key", None), attributes.pop("variant", None)
        if not isinstance(name, str) or not isinstance(variant, (str, NoneType)):
            raise TypeError("the attributes flag_key and variant of an exposure must be text")
        reporter, metadata = state_of(self._app).reporter, attributes or None
        if variant is None:
            reporter.expose(found.get_flag(name), found.identity, metadata)
        else:
            reporter.expose_by_app(name, variant, found.identity, metadata)

    def _flags(self, context: EvaluationContext | None) -> Flags:
        found = flags_of(self._app)
        if context is None or not context.targeting_key:
            return found
        return found.for_identity(_identity_of(context))

    def _flag(self, name: str, context: EvaluationContext | None) -> Flag:
        try:
            flag = self._flags(context).get_flag(name)
        except FeatureNotFoundError as error:
            raise FlagNotFoundError(error_message=str(error)) from None
        if flag.is_default and not (self._serve_defaults and flag.reason != "MISSING"):
            raise FlagNotFoundError(error_message=f"The environment has no feature {name!r}.")
        return flag

    def _value(self, flag: Flag) -> Any:
        if flag.enabled or self._serve_disabled:
            return flag.value
        raise GeneralError(error_message=f"The feature {flag.feature_name!r} is off.")

    def _typed(
        self, flag: Flag, kind: type[_Value], description: str
    ) -> FlagResolutionDetails[_Value]:
        value = self._value(flag)
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return _details(flag, value)
        raise _mismatch(flag, description)

    def _changed(self, app: Flask, changes: Mapping[str, FlagChange], **_: object) -> None:
        self.emit_provider_configuration_changed(
            ProviderEventDetails(flags_changed=sorted(changes))
        )

    def _refreshed(self, app: Flask, snapshot: Snapshot, **_: object) -> None:
        if not self._is_ready:
            self._is_ready = True
            self.emit_provider_ready(ProviderEventDetails())

    def _failed(self, app: Flask, error: FetchError, **_: object) -> None:
        self._is_ready = False
        if state_of(self._app).engine.status().age_seconds is not None:
            self.emit_provider_stale(ProviderEventDetails(message=str(error)))
        else:
            self.emit_provider_error(
                ProviderEventDetails(message=str(error), error_code=ErrorCode.PROVIDER_NOT_READY)
            )


def _details(flag: Flag, value: _Value) -> FlagResolutionDetails[_Value]:
    metadata: dict[str, bool | int | float | str] = {"enabled": flag.enabled}
    reason = flag.reason
    if flag.feature_id is not None:
        metadata["featureId"] = flag.feature_id
    if reason is not None and ";" in reason:
        metadata["reason"] = reason
    if flag.variant is not None:
        # Of these names, as in Flagsmith's provider for JavaScript.
        metadata["experiment.arm"] = flag.variant
        metadata["experiment.active"] = flag.enabled
        metadata["experiment.unit"] = "user"
    return FlagResolutionDetails(
        value, reason=reason_of(flag), variant=flag.variant, flag_metadata=metadata
    )


def _mismatch(flag: Flag, wanted: str) -> TypeMismatchError:
    return TypeMismatchError(
        error_message=f"The value of the feature {flag.feature_name!r} is not {wanted}, but "
        f"{type(flag.value).__name__}."
    )


def _identity_of(context: EvaluationContext) -> Identity:
    """Returns the identity that an evaluation context names.

    :raises InvalidContextError: if it is not one that Flagsmith knows.
    """
    attributes = dict(context.attributes)
    transient = attributes.pop("transient", False) is True
    nested = attributes.pop("traits", None)
    if isinstance(nested, Mapping):
        attributes |= nested
    try:
        traits = {name: _trait(value) for name, value in attributes.items()}
        return Identity(context.targeting_key or "", traits, transient)
    except (TypeError, ValueError) as error:
        raise InvalidContextError(error_message=str(error)) from None


def _trait(value: Any) -> Any:
    """Returns an attribute as a trait: Flagsmith takes moments, lists and objects as text."""
    if isinstance(value, datetime):
        return value.isoformat()
    return json.dumps(value) if isinstance(value, (dict, list, tuple)) else value
