"""Text that fits a terminal and cannot control it. Pure.

Names and values come from Flagsmith and can hold control characters; :func:`plain` escapes them.
"""

from __future__ import annotations

import textwrap

COLUMNS = 80

_PARAGRAPH = COLUMNS - 18


def plain(text: str) -> str:
    """Escapes the characters that a terminal would interpret."""
    return "".join(
        character if character.isprintable() else f"\\u{ord(character):04x}" for character in text
    )


def shorten(text: str, width: int) -> str:
    """Cuts a text to a number of characters, with an ellipsis at the cut."""
    return text if len(text) <= width else text[: width - 1] + "…"


def paragraph(title: str, text: str, hint: str | None = None) -> list[str]:
    """Wraps a titled text and a hint into lines, with room for a word in front."""
    lines = [
        line
        for part in (text, hint or "")
        for line in textwrap.wrap(
            plain(part), _PARAGRAPH, break_long_words=False, break_on_hyphens=False
        )
    ]
    return [f"{title if number == 0 else '':<10}{line}" for number, line in enumerate(lines)]
