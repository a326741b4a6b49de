"""Documents the folders of the package out of their code.

- ``.. flagsmith-folders::`` lists each folder: the first paragraph of its docstring, and its face,
  the names in ``__all__`` that other folders may import.
- ``.. flagsmith-layers::`` lists the layers of the import contract in ``pyproject.toml``.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "flask_flagsmith_realtime"


def face(path: Path) -> tuple[str, list[str]]:
    """Return the first paragraph of an ``__init__.py``'s docstring, and its ``__all__``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    purpose = (ast.get_docstring(tree) or "").partition("\n\n")[0]
    names: list[str] = []
    for node in tree.body:
        match node:
            case ast.Assign([ast.Name("__all__")], value):
                names = ast.literal_eval(value)
    return " ".join(purpose.split()), sorted(names, key=str.lower)


class FoldersDirective(SphinxDirective):
    """A list of the folders."""

    def run(self) -> list[nodes.Node]:
        lines = []
        for path in sorted(PACKAGE.glob("*/__init__.py")):
            self.env.note_dependency(str(path))
            purpose, names = face(path)
            lines += [f"``{path.parent.name}/``", f"   {purpose}", ""]
            if names:
                lines += ["   *Face:* " + ", ".join(f"``{name}``" for name in names), ""]
        return self.parse_text_to_nodes("\n".join(lines))


class LayersDirective(SphinxDirective):
    """A list of the layers, from the top."""

    def run(self) -> list[nodes.Node]:
        path = ROOT / "pyproject.toml"
        self.env.note_dependency(str(path))
        found = re.search(r"^layers = \[\n(.*?)^\]", path.read_text(encoding="utf-8"), re.M | re.S)
        if found is None:
            raise self.error("pyproject.toml has no layers.")
        layers = re.findall(r'"(.+)"', found[1])
        # A name in parentheses is a layer that is not there yet.
        modules = [re.findall(r"(?<!\()\b\w+\b(?!\))", layer) for layer in layers]
        lines = [f"#. {', '.join(f'``{name}``' for name in names)}" for names in modules]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("flagsmith-folders", FoldersDirective)
    app.add_directive("flagsmith-layers", LayersDirective)
    return {"version": "1", "parallel_read_safe": True}
