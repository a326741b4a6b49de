"""A flag: the state of one feature, for the environment or for an identity."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

#: What a feature's value can be.
FlagValue: TypeAlias = str | int | float | bool | None

#: The reason of a flag from FLAGSMITH_DEFAULTS.
CONFIGURED_DEFAULT = "CONFIGURED_DEFAULT"


@dataclass(frozen=True, slots=True)
class Experiment:
    """The running experiment that an identity's flag was evaluated under.

    :param id: its id on Flagsmith.
    :param name: its name.
    :param in_experiment: ``True`` if the identity takes part.
    """

    id: int
    name: str
    in_experiment: bool


@dataclass(frozen=True, slots=True, eq=False)
class Flag:
    """The state of one feature. Truthy only when enabled.

    Two flags are equal if all their members but ``reason`` and ``experiment`` are, the types of
    their values included: the values ``1``, ``1.0`` and ``True`` make different flags.

    :param feature_name: the feature's name on Flagsmith.
    :param enabled: ``True`` if it is on.
    :param value: its value; ``None`` if it has none.
    :param feature_id: its id on Flagsmith; ``None`` for a default.
    :param variant: the key of the variant that an identity was given, ``"control"`` for the
        control value, ``None`` where no split applies.
    :param is_default: ``True`` if it is a default and does not come from Flagsmith.
    :param reason: the reason that Flagsmith's rules gave, e.g. ``"TARGETING_MATCH; segment=beta"``.
    :param experiment: the :class:`Experiment` that runs on the feature, if there is one.
    """

    feature_name: str
    enabled: bool = False
    value: FlagValue = None
    feature_id: int | None = None
    variant: str | None = None
    is_default: bool = False
    reason: str | None = None
    experiment: Experiment | None = None

    def __bool__(self) -> bool:
        return self.enabled

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, Flag) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> Hashable:
        value = self.value
        return (
            self.feature_name,
            self.enabled,
            type(value),
            value,
            self.feature_id,
            self.variant,
            self.is_default,
        )

    def json(self) -> Any:
        """Returns the value parsed as JSON; a value that is not text, as it is.

        Each text is parsed once, so callers share what is returned: it must not be changed.

        :raises ValueError: naming the feature, if its value is not JSON.
        """
        return parse_value(self.feature_name, self.value)


def parse_value(feature_name: str, value: FlagValue) -> Any:
    """Returns a feature's value parsed as JSON, see :meth:`Flag.json`.

    :raises ValueError: naming the feature, if its value is not JSON.
    """
    if not isinstance(value, str):
        return value
    try:
        return _parse_json(value)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise ValueError(
            f"The value of the feature {feature_name!r} is not JSON: {reason}. Correct it on "
            "Flagsmith."
        ) from None


@lru_cache(maxsize=256)
def _parse_json(text: str) -> Any:
    return json.loads(text)


def default_flag(feature_name: str, setting: Any) -> Flag:
    """Makes a flag out of a short form, as FLAGSMITH_DEFAULTS holds them.

    :param setting: ``True`` or ``False`` (enabled, no value); a value (enabled, with it);
        ``{"enabled": …, "value": …}``; or a :class:`Flag`, of which all but the name is taken.
    :raises TypeError: if the setting is none of these.
    """
    if isinstance(setting, Flag):
        return _configured(feature_name, setting.enabled, setting.value)
    if isinstance(setting, bool):
        return _configured(feature_name, setting)
    if isinstance(setting, (str, int, float)):
        return _configured(feature_name, True, setting)
    if isinstance(setting, Mapping) and setting and not setting.keys() - {"enabled", "value"}:
        enabled, value = setting.get("enabled", True), setting.get("value")
        if isinstance(enabled, bool) and (value is None or isinstance(value, (str, int, float))):
            return _configured(feature_name, enabled, value)
    raise TypeError(
        f"the default of {feature_name!r} is {type(setting).__name__}; give True, False, a value "
        '(text or a number), {"enabled": …, "value": …} or a Flag'
    )


def _configured(feature_name: str, enabled: bool, value: FlagValue = None) -> Flag:
    return Flag(feature_name, enabled, value, is_default=True, reason=CONFIGURED_DEFAULT)
