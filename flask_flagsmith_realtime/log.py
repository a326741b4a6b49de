"""What a line of the log carries besides its text, for whoever collects logs."""

from __future__ import annotations


def facts(event: str, **more: object) -> dict[str, object]:
    """Make the ``extra`` of a log call: attributes of the record that begin with ``flagsmith_``.

    :param event: names what happened, in a word that never changes; the text may.
    :param more: what a program may want to know of it. Never a secret.
    """
    named = {f"flagsmith_{name}": fact for name, fact in more.items()}
    return {"flagsmith_event": event, **named}
