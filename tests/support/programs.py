"""Programs that tests need besides Python. CI installs all of them."""

from __future__ import annotations

import os
import shutil

import pytest


def find_program(*names: str) -> str:
    """Return the path of a program.

    Without the program the test is skipped. In CI, where no test may be skipped, it fails.

    :param names: the names of the program on different systems.
    """
    found = next(filter(None, map(shutil.which, names)), None)
    if found is not None:
        return found
    reason = f"This needs {names[0]}: install it. Looked for {', '.join(names)} on the PATH."
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
