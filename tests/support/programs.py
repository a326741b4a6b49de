"""Programs that tests need besides Python. A developer's machine may lack one; CI installs all."""

from __future__ import annotations

import os
import shutil

import pytest


def find_program(*names: str) -> str:
    """The path of a program, known by one of these names.

    Without it the test is skipped, with a word on what to install. In CI, where no test may be
    skipped, it fails.
    """
    found = next(filter(None, map(shutil.which, names)), None)
    if found is not None:
        return found
    reason = f"This needs {names[0]}: install it. Looked for {', '.join(names)} on the PATH."
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
