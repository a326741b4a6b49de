"""Documents the settings from the class that reads them, so that the two cannot drift apart.

``.. flagsmith-config:: environment_key api_url`` describes these fields of ``Config``: type,
default, purpose, and the errors that wrong values give, which it provokes. A field that no page
describes, or more than one, is a warning. ``.. flagsmith-config-overview::`` is a table of all.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from flask_flagsmith_realtime.config import settings as config
from flask_flagsmith_realtime.exceptions import ConfigError

logger = logging.getLogger(__name__)

FIELDS = {field.name: field for field in dataclasses.fields(config.Config)}

#: The types that a setting is written in; those of the fields are the types of checked values.
TYPES = {
    "str": "text",
    "str | None": "text",
    "bool": "``True`` or ``False``",
    "int": "a whole number",
    "float": "a number",
    "tuple[str, ...]": "a list of text",
    "Mapping[str, Flag]": "a dict",
    "Mapping[str, str]": "a dict",
}

#: Each setting refuses one of these at least.
WRONG_VALUES = ("soon", 5, -1)


def key(name: str) -> str:
    """The key of a field in ``app.config``."""
    return config.PREFIX + name.upper()


def default(field: dataclasses.Field[Any]) -> str:
    """A field's default, as one would write it."""
    value = field.default
    if value is dataclasses.MISSING:
        value = field.default_factory()  # type: ignore[misc]
    if value in (None, "", ()):
        return "none"
    if isinstance(value, Mapping):
        value = dict(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"``{value}``"


def refusals(name: str) -> list[str]:
    """The errors that wrong values of a setting give, each once."""
    messages: dict[str, str] = {}
    for value in WRONG_VALUES:
        try:
            config.read_config({key(name): value}, testing=True)
        except ConfigError as error:
            messages.setdefault(str(error).partition(", not ")[0], str(error))
    return list(messages.values())


def describe(name: str) -> Iterator[str]:
    """The description of a setting, in reStructuredText."""
    field = FIELDS[name]
    yield f".. confval:: {key(name)}"
    yield f"   :type: {TYPES[field.type]}"
    yield f"   :default: {default(field)}"
    yield "   :no-contents-entry:"
    yield ""
    yield f"   {field.metadata['doc']}"
    yield ""
    yield "   .. rst-class:: refusals"
    yield ""
    for message in refusals(name):
        yield f"   - ``{message}``"
    yield ""


class ConfigDirective(SphinxDirective):
    """Describes the settings that it names."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        names = self.arguments[0].split()
        unknown = [name for name in names if name not in FIELDS]
        if unknown:
            raise self.error(f"Config has no field {unknown[0]!r}.")
        described(self.env).setdefault(self.env.docname, []).extend(names)
        return parse(self, "\n".join(line for name in names for line in describe(name)))


class OverviewDirective(SphinxDirective):
    """A table of all settings."""

    def run(self) -> list[nodes.Node]:
        rows = [("Key", "Type", "Default")]
        rows += [(f":confval:`{key(n)}`", TYPES[f.type], default(f)) for n, f in FIELDS.items()]
        lines = [".. list-table::", "   :header-rows: 1", "   :class: settings", ""]
        for row in rows:
            lines += [f"   {'* -' if not i else '  -'} {cell}" for i, cell in enumerate(row)]
        return parse(self, "\n".join(lines))


def parse(directive: SphinxDirective, text: str) -> list[nodes.Node]:
    """Parse a text in reStructuredText in the place of a directive."""
    directive.env.note_dependency(str(Path(config.__file__)))
    return directive.parse_text_to_nodes(text)


def described(env: BuildEnvironment) -> dict[str, list[str]]:
    """The settings that are described, by page."""
    if not hasattr(env, "flagsmith_config"):
        env.flagsmith_config = {}  # type: ignore[attr-defined]
    pages: dict[str, list[str]] = env.flagsmith_config  # type: ignore[attr-defined]
    return pages


def forget(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Drop the records of a page that is read again."""
    described(env).pop(docname, None)


def check(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of settings that are not described exactly once."""
    counts = Counter(name for names in described(env).values() for name in names)
    for name in FIELDS:
        if counts[name] != 1:
            logger.warning("%s is described %d times, not once", key(name), counts[name])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("flagsmith-config", ConfigDirective)
    app.add_directive("flagsmith-config-overview", OverviewDirective)
    app.connect("env-purge-doc", forget)
    app.connect("env-check-consistency", check)
    return {"version": "1", "parallel_read_safe": False}
