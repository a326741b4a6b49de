"""The environment's rules about client-side keys: the flags that may go to a browser. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from .document import Document
from .flag import Flag


@dataclass(frozen=True)
class BrowserRules:
    """The settings of an environment that a client-side key is subject to.

    The defaults are those of remote evaluation, where Flagsmith itself applies the rules.

    :param server_only: the ids of the features that server-side keys alone get.
    :param hides_disabled: disabled flags are left out.
    :param hides_sensitive: traits are left out.
    """

    server_only: frozenset[int] = frozenset()
    hides_disabled: bool = False
    hides_sensitive: bool = False

    def reason_to_hide(self, flag: Flag) -> str | None:
        """Returns why a browser must not get a flag; ``None`` if it may."""
        if flag.feature_id in self.server_only:
            return "it is for server-side keys only"
        if self.hides_disabled and not flag.enabled and not flag.is_default:
            return "it is disabled, and the environment hides disabled flags"
        return None


def browser_rules_of(document: Document) -> BrowserRules:
    """Returns the rules of an environment document."""
    settings, project = document.settings, document.project
    hides_disabled = settings.hide_disabled_flags
    if hides_disabled is None:
        hides_disabled = project.hide_disabled_flags
    return BrowserRules(
        server_only=frozenset(project.server_key_only_feature_ids or ()),
        hides_disabled=bool(hides_disabled),
        hides_sensitive=bool(settings.hide_sensitive_data),
    )
