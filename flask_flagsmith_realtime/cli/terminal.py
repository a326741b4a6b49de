"""Text that fits a terminal and cannot control it. Pure.

Names and values come from Flagsmith and can hold control characters; :func:`plain` escapes them.
"""

from __future__ import annotations

COLUMNS = 80


def plain(text: str) -> str:
    """Escapes the characters that a terminal would interpret."""
    return "".join(
        character if character.isprintable() else f"\\u{ord(character):04x}" for character in text
    )


def shorten(text: str, width: int) -> str:
    """Cuts a text to a number of characters, with an ellipsis at the cut."""
    return text if len(text) <= width else text[: width - 1] + "…"
