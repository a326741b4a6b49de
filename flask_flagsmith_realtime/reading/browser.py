"""Flags for browsers: those that may leave the app, and the state of Flagsmith's JavaScript SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from flask import current_app, has_request_context, url_for

from ..exceptions import HiddenFeatureError
from ..model import Document, Flag, Identity, Snapshot, TraitValue

#: The name of the blueprint that answers browsers.
BROWSER_BLUEPRINT = "flagsmith_browser"

#: The SDK does not start without an environment's id. The app's own API ignores it.
_UNKNOWN_ENVIRONMENT = "unknown"


class BrowserFlags(msgspec.Struct, frozen=True):
    """Flags of which a browser may have some.

    :param mapping: the flags by feature name. Not defaults, unless they are named: one of a feature
        that is hidden from browsers is not known as such before Flagsmith has answered.
    :param identity: the identity whose flags these are; ``None`` for the environment's.
    """

    mapping: Mapping[str, Flag]
    identity: Identity | None
    snapshot: Snapshot | None

    def visible(self) -> list[Flag]:
        """Returns the flags without those that Flagsmith hides from browsers."""
        hide = self.reason_to_hide
        return [flag for flag in self.mapping.values() if hide(flag) is None]

    def check_visible(self) -> None:
        """Checks that a browser may have all of the flags.

        :raises HiddenFeatureError: if Flagsmith hides one of them from browsers.
        """
        for flag in self.mapping.values():
            reason = self.reason_to_hide(flag)
            if reason is not None:
                raise HiddenFeatureError(flag.feature_name, reason)

    def reason_to_hide(self, flag: Flag) -> str | None:
        """Returns why a browser must not get a flag; ``None`` if it may, and in remote evaluation,
        where Flagsmith itself leaves flags out."""
        document = self._document
        if document is None:
            return None
        project, hides_disabled = document.project, document.settings.hide_disabled_flags
        if flag.feature_id in (project.server_key_only_feature_ids or ()):
            return "it is for server-side keys only"
        if hides_disabled is None:
            hides_disabled = project.hide_disabled_flags
        if hides_disabled and not flag.enabled and not flag.is_default:
            return "it is disabled, and the environment hides disabled flags"
        return None

    @property
    def hides_traits(self) -> bool:
        """True if the environment hides sensitive data."""
        return self._document is not None and bool(self._document.settings.hide_sensitive_data)

    @property
    def _document(self) -> Document | None:
        return None if self.snapshot is None else self.snapshot.document

    @property
    def environment_id(self) -> str:
        """The client-side key, which is public."""
        found = self.snapshot.environment_id if self.snapshot is not None else ""
        return found or _UNKNOWN_ENVIRONMENT

    @property
    def epoch(self) -> float | None:
        """The epoch of the snapshot."""
        return None if self.snapshot is None else self.snapshot.epoch

    def sdk_options(self, *, traits: bool) -> dict[str, Any]:
        """Returns the options for ``flagsmith.init`` of Flagsmith's JavaScript SDK.

        :param traits: include the identity's traits, unless the environment hides them.
        """
        addresses = _addresses(self.epoch)
        flags = {sdk_name(flag.feature_name): _sdk_flag(flag) for flag in self.visible()}
        context: dict[str, Any] = {"environment": {"apiKey": self.environment_id}}
        if self.identity is not None:
            context["identity"] = {
                "identifier": self.identity.identifier,
                "traits": self._sdk_traits(self.identity) if traits else {},
            }
        state: dict[str, Any] = {"flags": flags, "evaluationContext": context}
        if "api" in addresses:
            state["api"] = addresses["api"]
        return {
            "environmentID": self.environment_id,
            "identity": None if self.identity is None else self.identity.identifier,
            "state": state,
            # The SDK refuses to start without a flag, unless it may ask for some.
            "preventFetch": bool(flags) or not addresses,
            "realtime": bool(addresses),
            **addresses,
        }

    def _sdk_traits(self, identity: Identity) -> dict[str, dict[str, TraitValue]]:
        if self.hides_traits:
            return {}
        return {
            name.replace(" ", "_"): {"value": value}
            for name, value in identity.traits.items()
            if value is not None
        }


def sdk_name(feature_name: str) -> str:
    """Returns the name under which the JavaScript SDK looks a feature up."""
    return feature_name.lower().replace(" ", "_")


def _sdk_flag(flag: Flag) -> dict[str, Any]:
    # Without the reason, which names segments.
    content: dict[str, Any] = {
        "id": flag.feature_id,
        "enabled": flag.enabled,
        "value": flag.value,
    }
    if flag.variant is not None:
        content["variant"] = flag.variant
    if flag.experiment is not None:
        experiment = flag.experiment
        content["experiment"] = {
            "id": experiment.id,
            "name": experiment.name,
            "inExperiment": experiment.in_experiment,
        }
    return content


def _addresses(epoch: float | None) -> dict[str, str]:
    """Returns the addresses of the app's own API and stream; none without the blueprint, and
    outside a request."""
    if not has_request_context() or BROWSER_BLUEPRINT not in current_app.blueprints:
        return {}
    root = url_for(f"{BROWSER_BLUEPRINT}.epoch").removesuffix("epoch")
    # The stream then begins with an event only if there is something newer than this state.
    since = "" if epoch is None else f"since/{epoch!r}/"
    return {"api": f"{root}api/v1/", "eventSourceUrl": f"{root}{since}"}
