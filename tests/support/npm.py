"""Packages of npm, for pages in a real browser."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

from tests.support.programs import find_program
from tests.support.waiting import PATIENCE_SECONDS

#: Flagsmith's JavaScript SDK.
JAVASCRIPT_SDK = "@flagsmith/flagsmith@12.4.0"


def unpack(package: str, directory: Path) -> Path:
    """Fetch a package with npm, which keeps it in a cache of its own.

    :param package: the name with the exact version.
    :param directory: an empty directory to unpack it in.
    :returns: the directory with the package's files.
    """
    npm = find_program("npm")
    command = [npm, "pack", "--silent", "--pack-destination", str(directory), package]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_SECONDS)
    [archive] = directory.glob("*.tgz")
    with tarfile.open(archive) as packed:
        packed.extractall(directory, filter="data")
    return directory / "package"
