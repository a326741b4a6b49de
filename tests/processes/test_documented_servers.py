"""The configurations of servers that the page on deployment shows."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from flask_flagsmith_realtime.emulator import Emulator
from tests.support.paths import DOCS
from tests.support.servers import Serve, gunicorn

DEPLOYMENT = DOCS / "deployment.rst"
APP = """
import os
from flask import Flask
from flask_flagsmith_realtime import FlagsmithRealtime, flags

app = Flask(__name__)
app.config.from_prefixed_env()
flagsmith = FlagsmithRealtime(app)

@app.get("/")
def state():
    return {"pid": os.getpid(), "banner": flags.banner_text.value}
"""


def shown(caption: str) -> str:
    """Return the code under a caption."""
    pattern = rf"   :caption: {re.escape(caption)}\n\n((?:    .*\n|\n)+)"
    return textwrap.dedent(re.findall(pattern, DEPLOYMENT.read_text())[0])


def test_gevent_workers_of_a_preloading_master(
    serve: Serve, emulator: Emulator, tmp_path: Path
) -> None:
    tmp_path.joinpath("app.py").write_text(APP)
    settings = tmp_path / "gunicorn.conf.py"
    settings.write_text(shown("gunicorn.conf.py"))
    options = ["--config", str(settings), "--chdir", str(tmp_path), "--workers", "2"]
    server = serve(gunicorn(*options, app="app:app"))
    assert emulator.wait_for_streams(2), server.output
    emulator.set_flag("banner_text", value="after")
    server.wait_for_all(2, lambda answer: answer["banner"] == "after")
    # At the start, for the change, and for a greeting that comes late.
    assert 4 <= emulator.calls["environment-document/"] <= 6
    assert server.stop() == 0
    assert "Traceback" not in server.output, server.output
