"""Checks a release: `make release-check`.

1. Builds the sdist and the wheel twice, from two copies of the committed files, and compares them.
2. Checks their metadata (twine) and the contents of the wheel (check-wheel-contents).
3. Installs the wheel into a new virtual environment with its dependencies and follows the
   quickstart of the documentation with it: the emulator, the app, a change.

The checked files are in `dist/` afterwards. The build's clock is that of the last commit
(`SOURCE_DATE_EPOCH`), so that the same commit gives the same bytes on any machine.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import time
import urllib.parse
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
TIMEOUT_SECONDS = 60.0


def main() -> None:
    """Run all steps. The first that fails ends the program."""
    epoch = int(output("git", "log", "-1", "--format=%ct"))
    with tempfile.TemporaryDirectory(prefix="release-check-") as name:
        directory = Path(name)
        files = build(directory / "first", epoch)
        compare(files, build(directory / "second", epoch))
        run(sys.executable, "-m", "twine", "check", "--strict", *files)
        [wheel] = [file for file in files if file.suffix == ".whl"]
        run(sys.executable, "-m", "check_wheel_contents", wheel)
        follow_quickstart(wheel, directory / "bare")
        shutil.rmtree(DIST, ignore_errors=True)
        shutil.copytree(files[0].parent, DIST)
    for file in sorted(DIST.iterdir()):
        print(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}")


def build(directory: Path, epoch: int) -> list[Path]:
    """Build an sdist, and a wheel out of it, from a copy of the committed files."""
    source, dist = directory / "source", directory / "dist"
    source.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tree:
        tree.extractall(source, filter="data")
    environ = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    run(sys.executable, "-m", "build", "--outdir", dist, source, environ=environ)
    [sdist] = dist.glob("*.tar.gz")
    normalize(sdist, epoch)
    return sorted(dist.iterdir())


def normalize(sdist: Path, epoch: int) -> None:
    """Rewrite an sdist without what differs from build to build: times, owners, order.

    setuptools honours SOURCE_DATE_EPOCH in wheels only.
    """
    packed = io.BytesIO()
    with (
        tarfile.open(sdist) as original,
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=epoch) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as rewritten,
    ):
        for member in sorted(original.getmembers(), key=lambda member: member.name):
            member.mtime = epoch
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            rewritten.addfile(member, original.extractfile(member) if member.isfile() else None)
    sdist.write_bytes(packed.getvalue())


def compare(first: list[Path], second: list[Path]) -> None:
    """Exit with an error if two builds differ."""
    for one, other in zip(first, second, strict=True):
        if one.name != other.name or one.read_bytes() != other.read_bytes():
            raise SystemExit(f"{one.name} is not reproducible: two builds of one commit differ")


def follow_quickstart(wheel: Path, directory: Path) -> None:
    """Install the wheel where nothing else is, and do what docs/quickstart.rst says."""
    venv.create(directory, with_pip=True)
    programs = directory / ("Scripts" if os.name == "nt" else "bin")
    run(programs / "python", "-m", "pip", "install", "--quiet", wheel)
    directory.joinpath("app.py").write_text(quickstart_app())
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FLASK_", "PYTHON"))
    }
    environ["PYTHONUNBUFFERED"] = "1"
    emulator = [programs / "python", "-m", "flask_flagsmith_realtime.emulator", "--port", "0"]
    with running(emulator, directory, environ) as lines:
        page = find(lines, "Page").split()[1]
        for _ in range(3):
            export = find(lines, "export ")
            name, _, value = export.strip().removeprefix("export ").partition("=")
            environ[name] = value
        app = [programs / "python", "-m", "flask", "run", "--port", "0"]
        with running(app, directory, environ) as lines:
            url = find(lines, "Running on").split()[-1]
            expect(url, "Welcome to the tea shop")
            edit(page, "value", feature="banner_text", value="Tea time")
            expect(url, "Tea time")
            edit(page, "switch", feature="new_checkout", enabled="on")
            expect(url, "The new checkout")
    print("quickstart: followed with", wheel.name)


def quickstart_app() -> str:
    """Return the app that the quickstart says to save as ``app.py``."""
    page = ROOT.joinpath("docs", "quickstart.rst").read_text()
    code = re.search(r"^ {3}:caption: app\.py\n\n((?: {4}.*\n|\n)+)", page, re.MULTILINE)
    assert code is not None
    return textwrap.dedent(code[1])


@contextmanager
def running(
    command: list[str | Path], directory: Path, environ: dict[str, str]
) -> Iterator[Iterator[str]]:
    """Run a program, and yield the lines that it prints. It is ended at the end of the block."""
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=directory,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield iter(process.stdout.readline, "")
    finally:
        process.terminate()
        process.wait(TIMEOUT_SECONDS)


def find(lines: Iterator[str], text: str) -> str:
    """Return the next line that contains a text."""
    read = []
    for line in lines:
        if text in line:
            return line
        read.append(line)
    raise SystemExit(f"a program ended before it printed {text!r}:\n{''.join(read)}")


def edit(page: str, form: str, **fields: str) -> None:
    """Submit a form of the emulator's page."""
    body = urllib.parse.urlencode(fields).encode()
    urllib.request.urlopen(f"{page}edit/{form}", body, timeout=TIMEOUT_SECONDS).close()


def expect(url: str, text: str) -> None:
    """Ask an app until it answers with a text."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while (answer := urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS).read().decode()) != text:
        if time.monotonic() > deadline:
            raise SystemExit(f"the quickstart's app answers {answer!r}, not {text!r}")
        time.sleep(0.05)


def output(*command: str) -> str:
    """Return what a program prints."""
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def run(*command: str | Path, environ: dict[str, str] | None = None) -> None:
    """Run a program; one that fails ends this one."""
    parts = [str(part) for part in command]
    print("$", " ".join(parts), flush=True)
    if (status := subprocess.run(parts, cwd=ROOT, env=environ).returncode) != 0:
        raise SystemExit(status)


if __name__ == "__main__":
    main()
