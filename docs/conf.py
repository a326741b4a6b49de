"""The configuration of Sphinx: ``make docs``."""

from __future__ import annotations

import sys
from importlib.metadata import metadata
from pathlib import Path

from blinker import NamedSignal
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "flask-flagsmith-realtime"
copyright = "the flask-flagsmith-realtime maintainers"
about = metadata(project)
release = version = about["Version"]

urls = dict(line.split(", ", 1) for line in about.get_all("Project-URL", []))

extensions = [
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "flagsmith_architecture",
    "flagsmith_config",
    "flagsmith_log_lines",
]
exclude_patterns = ["_build"]
default_role = "code"

# Every reference has to lead somewhere. Those to other projects are not looked up: the pages can
# be built without a network.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(openfeature|opentelemetry|prometheus_client)(\..*)?"),
    (r"py:.*", r"(flask|Flask|blinker|collections|flagsmith|os)(\..*)?"),
    # Private names in annotations.
    (
        r"py:class",
        r"(.*\.)?(Document|Evaluation|Identities|OnExposure|OnMissing|Otherwise|Unset|_\w+)",
    ),
    # Sphinx before 9 does not find types.
    (r"py:class", r"FlagValue|TraitValue|Traits|Override"),
]

add_module_names = False
toc_object_entries_show_parents = "hide"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"

html_theme = "furo"
html_title = f"{project} {version}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_favicon = "_static/flag.svg"
html_logo = "_static/flag.svg"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "sidebar_hide_name": False,
    "source_repository": urls["Source"],
    "source_branch": "main",
    "source_directory": "docs/",
    "light_css_variables": {"color-brand-primary": "#0f766e", "color-brand-content": "#0f766e"},
    "dark_css_variables": {"color-brand-primary": "#5eead4", "color-brand-content": "#5eead4"},
}

# The quickstart's own app.
linkcheck_ignore = [r"http://127\.0\.0\.1:"]

# Prompts and what commands print are not copied.
copybutton_exclude = ".linenos, .gp, .go"


def take_comment(
    app: Sphinx, what: str, name: str, found: object, options: object, lines: list[str]
) -> None:
    """Describe a signal by the comment above it, which is in another module than its public name.
    Sphinx would take the description of all signals there are."""
    if isinstance(found, NamedSignal):
        comments = ModuleAnalyzer.for_module("flask_flagsmith_realtime.signals").find_attr_docs()
        lines[:] = comments["", name.rpartition(".")[2]]


def setup(app: Sphinx) -> None:
    """Register the handler."""
    app.connect("autodoc-process-docstring", take_comment)
