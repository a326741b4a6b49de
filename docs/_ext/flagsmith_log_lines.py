"""Documents the log lines out of the code that logs them, so that the two cannot drift apart.

- ``.. flagsmith-log-line:: fetch_trouble`` documents an event. Its level, logger, attributes and
  texts are read from the code; the content of the directive says what it means and what to do.
- ``.. flagsmith-log-lines::`` is a table of all warnings and errors by text.
- ``:logtext:`its TLS certificate``` quotes a part of a log line, which has to occur in the code.

An event that is not documented exactly once, or out of alphabetical order, is a warning. The
extraction, :func:`log_lines`, parses the code and imports nothing of it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

logger = logging.getLogger(__name__)

PACKAGE = Path(__file__).parents[2] / "flask_flagsmith_realtime"
LEVELS = {
    "debug": "DEBUG",
    "info": "INFO",
    "warning": "WARNING",
    "error": "ERROR",
    "exception": "ERROR",
}
#: Stands for what is only known at run time.
GAP = "…"


@dataclass(frozen=True, order=True)
class LogLine:
    """A kind of log line.

    :param event: its ``flagsmith_event``.
    :param logger: its logger, without the name of the package.
    :param level: its level.
    :param attributes: names of its further attributes, without their prefix.
    :param text: its text, with ``…`` for what is known at run time only; empty if the code composes
        it elsewhere.
    :param place: file and line of the code.
    """

    event: str
    logger: str
    level: str
    attributes: tuple[str, ...] = ()
    text: str = ""
    place: str = ""


def log_lines(package: Path = PACKAGE) -> list[LogLine]:
    """Return all log lines of the package but those of the emulator, which is a program."""
    paths = sorted(package.rglob("*.py"))
    logging = (path for path in paths if path.relative_to(package).parts[0] != "emulator")
    lines = {line for path in logging for line in _of(path, package)}
    return sorted(lines)


def _of(path: Path, package: Path) -> Iterator[LogLine]:
    """Find the log lines of a module: calls of its logger, and of ``OncePerCause``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    name = ".".join(path.relative_to(package).with_suffix("").parts).removesuffix(".__init__")
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    problems = _problems(tree)
    for call in calls:
        place = f"{path.relative_to(package)}:{call.lineno}"
        match call.func:
            case ast.Attribute(ast.Name("logger"), method) if method in LEVELS:
                event, attributes = _fields(call)
                text = template(call.args[0])
                yield LogLine(event, name, LEVELS[method], attributes, text, place)
            case ast.Name("OncePerCause") | ast.Attribute(_, "OncePerCause"):
                _, event, recovered = (template(argument) for argument in call.args)
                for text in problems.get(call) or problems.get(None) or {""}:
                    yield LogLine(f"{event}_trouble", name, "WARNING", (), text, place)
                if recovered:
                    yield LogLine(f"{event}_recovered", name, "WARNING", (), recovered, place)


def _problems(tree: ast.Module) -> dict[ast.Call | None, set[str]]:
    """Find the texts that a module passes to ``problem``, by the call that made the OncePerCause.

    Those of which the call is not found are under ``None``.
    """
    assigned = {
        ast.unparse(target): node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
    }
    texts: dict[ast.Call | None, set[str]] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Call(ast.Attribute(owner, "problem"), [message]):
                made = assigned.get(ast.unparse(owner))
                key = made if isinstance(made, ast.Call) and _is_once_per_cause(made) else None
                text = template(message) or template(assigned.get(ast.unparse(message), message))
                texts.setdefault(key, set()).add(text)
    return texts


def _is_once_per_cause(call: ast.Call) -> bool:
    return ast.unparse(call.func).endswith("OncePerCause")


def _fields(call: ast.Call) -> tuple[str, tuple[str, ...]]:
    """Read ``extra=logs.fields(event, …)``; the event is empty if there is none."""
    for keyword in call.keywords:
        match keyword:
            case ast.keyword("extra", ast.Call(ast.Attribute(ast.Name("logs"), "fields"), [event])):
                named = keyword.value.keywords  # type: ignore[attr-defined]
                return template(event), tuple(sorted(str(field.arg) for field in named))
    return "", ()


def template(node: ast.expr) -> str:
    """Return the text of a string, an f-string or a ``%`` format, with gaps."""
    match node:
        case ast.Constant(str(text)):
            return re.sub(r"%(?:\.\d+)?[a-z]", GAP, text)
        case ast.JoinedStr(parts):
            return "".join(
                str(part.value) if isinstance(part, ast.Constant) else GAP for part in parts
            )
    return ""


def all_texts(package: Path = PACKAGE) -> list[str]:
    """Return all texts of the package, for quotations."""
    return [
        template(node)
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.Constant, ast.JoinedStr))
    ]


def by_event(lines: Iterable[LogLine]) -> dict[str, list[LogLine]]:
    """Group lines by their event."""
    events: dict[str, list[LogLine]] = {}
    for line in lines:
        events.setdefault(line.event, []).append(line)
    return events


class LogLineDirective(SphinxDirective):
    """Documents an event."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        event = self.arguments[0]
        lines = by_event(log_lines()).get(event)
        if not lines:
            raise self.error(f"No code logs the event {event!r}.")
        self.assert_has_content()
        _documented(self.env).setdefault(self.env.docname, []).append(event)
        return self.parse_text_to_nodes("\n".join(self._describe(event, lines)))

    def _describe(self, event: str, lines: list[LogLine]) -> Iterator[str]:
        """Compose the entry, in reStructuredText."""
        self.env.note_dependency(str(PACKAGE / lines[0].place.partition(":")[0]))
        yield f".. logline:: {event}"
        yield ""
        yield "   .. rst-class:: logline-facts"
        yield ""
        loggers = ", ".join(f"``{name}``" for name in sorted({line.logger for line in lines}))
        attributes = sorted({attribute for line in lines for attribute in line.attributes})
        facts = [" and ".join(sorted({line.level for line in lines})), f"logger {loggers}"]
        if attributes:
            facts.append("attributes " + ", ".join(f"``flagsmith_{name}``" for name in attributes))
        yield f"   {'; '.join(facts)}"
        yield ""
        for text in sorted({line.text for line in lines} - {""}):
            yield "   .. rst-class:: logline-text"
            yield ""
            yield f"   {_escaped(text)}"
            yield ""
        yield from (f"   {line}" for line in self.content)
        yield ""


class LogLinesDirective(SphinxDirective):
    """A table of all warnings and errors, by text."""

    def run(self) -> list[nodes.Node]:
        lines = [line for line in log_lines() if line.level in ("WARNING", "ERROR")]
        rows = {(line.text, line.event) for line in lines if line.text}
        table = [".. list-table::", "   :header-rows: 1", "   :widths: 70 30"]
        table += ["   :class: stack", ""]
        table += ["   * - Text", "     - Event"]
        for text, event in sorted(rows, key=lambda row: row[0].strip(f"{GAP} ").lower()):
            table += [f"   * - {_escaped(text)}", f"     - :logline:`{event}`"]
        return self.parse_text_to_nodes("\n".join(table))


class LogTextRole(SphinxRole):
    """Quotes a part of a log line."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        pieces = [piece.strip() for piece in self.text.split(GAP)]
        if not any(all(piece in text for piece in pieces) for text in all_texts()):
            logger.warning("no code has the text %r", self.text, location=self.get_location())
        return [nodes.emphasis(self.rawtext, self.text)], []


def _escaped(text: str) -> str:
    return re.sub(r"([\\*`|_<>])", r"\\\1", " ".join(text.split()))


def _documented(env: BuildEnvironment) -> dict[str, list[str]]:
    """Return the documented events, by page."""
    if not hasattr(env, "flagsmith_log_lines"):
        env.flagsmith_log_lines = {}  # type: ignore[attr-defined]
    pages: dict[str, list[str]] = env.flagsmith_log_lines  # type: ignore[attr-defined]
    return pages


def purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Forget a page that is read again."""
    _documented(env).pop(docname, None)


def check(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of lines without an event, and of events that are not documented once, in order."""
    documented = [event for events in _documented(env).values() for event in events]
    for event, lines in by_event(log_lines()).items():
        if not event:
            logger.warning("no extra=logs.fields(event): %s", ", ".join(x.place for x in lines))
        elif documented.count(event) != 1:
            logger.warning(
                "the log event %r (%s) is documented %d times: docs/troubleshooting.rst needs one "
                "'.. flagsmith-log-line:: %s'",
                event,
                lines[0].place,
                documented.count(event),
                event,
            )
    if documented != sorted(documented):
        logger.warning("the log events in docs/troubleshooting.rst are not in alphabetical order")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives and the roles."""
    app.add_object_type(
        "logline", "logline", indextemplate="pair: %s; log event", objname="log event"
    )
    app.add_directive("flagsmith-log-line", LogLineDirective)
    app.add_directive("flagsmith-log-lines", LogLinesDirective)
    app.add_role("logtext", LogTextRole())
    app.connect("env-purge-doc", purge)
    app.connect("env-check-consistency", check)
    return {"version": "1", "parallel_read_safe": False}
