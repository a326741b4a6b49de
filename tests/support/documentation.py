"""Runs the examples of a page of the documentation, one after the other, against an emulator.

- ``.. code-block:: python`` is run. A comment behind an expression is its expected value,
  ``flags["x"].value  # 3``, or the beginning of the exception that it raises,
  ``flags["y"]  # FeatureNotFoundError: The environment has no``.
- ``.. code-block:: jinja`` is a template. One with a caption can be imported by that name; the last
  one without is what ``rendered(app)`` renders.
- ``.. code-block:: bash`` sets environment variables for the rest of the page.
- ``.. invisible-code-block: python`` is run but not shown: it prepares examples and asserts what
  the text says.

All pages have an ``app`` that follows the ``emulator``, its ``flagsmith`` and a ``client``; and
``make_app(**settings)`` for others.
"""

from __future__ import annotations

import ast
import io
import os
import re
import subprocess
import tokenize
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from jinja2 import DictLoader
from sybil import Document, Example
from sybil.evaluators.python import pad
from sybil.parsers.rest import CodeBlockParser, SkipParser

from flask_flagsmith_realtime import FlagsmithRealtime
from flask_flagsmith_realtime.app_state import EXTENSION
from flask_flagsmith_realtime.emulator import Emulator
from tests.support.servers import environment_of
from tests.support.waiting import eventually

_RAISED = re.compile(r"\w+Error: ")


class Page:
    """A page, and the names that its examples can use.

    :param path: the page.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._apps: set[Flask] = set()
        self._templates: dict[str, str] = {}
        self._namespace: dict[str, Any] = {}

    def run(self) -> None:
        """Run all examples."""
        parsers = [
            SkipParser(),
            CodeBlockParser("python", self._run_python),
            CodeBlockParser("jinja", self._keep_template),
            CodeBlockParser("bash", self._set_variables),
        ]
        document = Document.parse(str(self._path), *parsers)
        self._namespace = document.namespace
        with _environment() as environ, Emulator() as emulator:
            environ.update(environment_of(emulator.config))
            self._namespace.update(
                __name__="shop",
                Flask=Flask,
                FlagsmithRealtime=FlagsmithRealtime,
                emulator=emulator,
                eventually=eventually,
                make_app=self._make_app,
                rendered=self._rendered,
                _check=check,
            )
            app, flagsmith, client = self._make_app()
            self._namespace.update(app=app, flagsmith=flagsmith, client=client)
            try:
                for example in document.examples():
                    example.evaluate()
                    self._remember_apps()
            finally:
                self._remember_apps()
                for app in self._apps:
                    _stop(app)

    def _run_python(self, example: Example) -> None:
        source = pad(example.parsed, example.line + example.parsed.line_offset)
        tree = _Expectations(source).visit(ast.parse(source, example.path))
        code = compile(ast.fix_missing_locations(tree), example.path, "exec", dont_inherit=True)
        exec(code, self._namespace)

    def _keep_template(self, example: Example) -> None:
        caption = example.region.lexemes["options"].get("caption", "")
        self._templates[caption] = str(example.parsed)

    def _set_variables(self, example: Example) -> None:
        listed = subprocess.check_output(["bash", "-euc", f"{example.parsed}\nenv -0"], text=True)
        variables = dict(line.split("=", 1) for line in listed.split("\0") if line)
        os.environ.update({n: v for n, v in variables.items() if n.startswith("FLASK_")})

    def _make_app(self, **settings: Any) -> tuple[Flask, FlagsmithRealtime, FlaskClient]:
        """Return an app that follows the emulator, its extension and a client."""
        app = Flask("shop")
        app.config.from_prefixed_env()
        app.config.update(settings)
        self._apps.add(app)
        return app, FlagsmithRealtime(app), app.test_client()

    def _rendered(self, app: Flask) -> str:
        app.jinja_env.loader = DictLoader(self._templates)
        with app.test_request_context():
            return app.jinja_env.get_template("").render(
                **{n: v for f in app.template_context_processors[None] for n, v in f().items()}
            )

    def _remember_apps(self) -> None:
        self._apps.update(value for value in self._namespace.values() if isinstance(value, Flask))


class _Expectations(ast.NodeTransformer):
    """Replaces expressions with a comment behind them by checks."""

    def __init__(self, source: str) -> None:
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        self._comments = {
            token.start[0]: token.string.lstrip("# ")
            for token in tokens
            if token.type == tokenize.COMMENT
        }

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        comment = self._comments.get(node.end_lineno or 0)
        if comment is None or not (_RAISED.match(comment) or _is_literal(comment)):
            return node
        value = ast.Lambda(ast.parse("lambda: 0", mode="eval").body.args, node.value)
        node.value = ast.Call(ast.Name("_check", ast.Load()), [value, ast.Constant(comment)], [])
        return node


def check(expression: Callable[[], Any], expected: str) -> None:
    """Check the value of an expression, or the exception that it raises."""
    if _RAISED.match(expected):
        try:
            value = expression()
        except Exception as error:
            raised = f"{type(error).__name__}: {error}"
            assert raised.startswith(expected), f"raised was {raised}"
        else:
            raise AssertionError(f"no exception was raised, the value is {value!r}")
    else:
        value = expression()
        assert repr(value) == expected, f"the value is {value!r}, not {expected}"


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return False
    return True


@contextmanager
def _environment() -> Iterator[os._Environ[str]]:
    """The environment variables; changes are undone at the end."""
    before = dict(os.environ)
    try:
        yield os.environ
    finally:
        os.environ.clear()
        os.environ.update(before)


def _stop(app: Flask) -> None:
    if EXTENSION in app.extensions:
        FlagsmithRealtime().stop(app)
