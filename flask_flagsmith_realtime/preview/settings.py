"""The settings of a preview: from text and back, and the signed cookie that keeps them. Pure.

A cookie that is damaged, forged or too old is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

from itsdangerous import BadData, URLSafeTimedSerializer

COOKIE = "flagsmith_preview"

#: A setting: ``True`` and ``False`` switch the feature, any other becomes its value.
Setting: TypeAlias = "bool | int | str"

_SALT = "flask-flagsmith-realtime.preview"
_LONGEST_AGE_SECONDS = 7 * 24 * 3600
#: Browsers keep cookies of up to 4,096 bytes.
_LONGEST_COOKIE = 3800
_SWITCHES: Mapping[str, bool] = {"on": True, "true": True, "off": False, "false": False}


class TooManySettingsError(ValueError):
    """The settings do not fit into a cookie."""


def parse_setting(text: str) -> Setting | None:
    """Returns a setting; ``None`` for an empty text, which removes it."""
    switch = _SWITCHES.get(text.strip().lower())
    if switch is not None:
        return switch
    if re.fullmatch(r"-?\d{1,15}", text):
        return int(text)
    return text or None


def changed(settings: Mapping[str, Setting], texts: Mapping[str, str]) -> dict[str, Setting]:
    """Returns settings with changes that are given as text."""
    result = dict(settings)
    for name, text in texts.items():
        setting = parse_setting(text)
        if setting is None:
            result.pop(name, None)
        else:
            result[name] = setting
    return result


def sign(settings: Mapping[str, Setting], secret_key: str | bytes) -> str:
    """Returns the cookie's value.

    :raises TooManySettingsError: if it were too long.
    """
    value = URLSafeTimedSerializer(secret_key, salt=_SALT).dumps(dict(settings))
    text = value.decode() if isinstance(value, bytes) else value
    if len(text) > _LONGEST_COOKIE:
        raise TooManySettingsError("A preview cannot have so many settings: clear some.")
    return text


def verify(cookie: str, secret_key: str | bytes) -> dict[str, Setting]:
    """Returns the settings in a cookie; none if it is not one that :func:`sign` made lately."""
    try:
        content = URLSafeTimedSerializer(secret_key, salt=_SALT).loads(
            cookie, max_age=_LONGEST_AGE_SECONDS
        )
    except BadData:
        return {}
    return content if isinstance(content, dict) else {}
