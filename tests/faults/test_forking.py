"""Forking at any moment.

A process that is forked while one of its threads loads a module can never use that module: the
import waits forever for a thread that does not exist in the child. A server that loads an app
before it forks (``--preload``) forks just when the app's threads start. So these threads load no
module: all modules are loaded before.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support.lanes import PLAIN
from tests.support.misbehaving import MisbehavingFlagsmith, Stream, answers
from tests.support.waiting import PATIENCE_SECONDS

REMOTE = {"FLASK_FLAGSMITH_ENVIRONMENT_KEY": MisbehavingFlagsmith.client_side_key}
LONG_AGO = "Wed, 21 Oct 2015 07:28:00 GMT"


def script_faults(flagsmith: MisbehavingFlagsmith) -> None:
    """Script answers whose handling may load a module."""
    for endpoint in (flagsmith.environment_document, flagsmith.flags):
        endpoint.next(answers.too_many(LONG_AGO), answers.redirect("?again"), answers.cut_off)
    flagsmith.stream.next(
        answers.too_many(LONG_AGO), Stream(greeting=None, lasts=0.0, gzipped=True)
    )
    flagsmith.stream.always(PLAIN)


@pytest.mark.slow
@pytest.mark.parametrize("environ", [{}, REMOTE], ids=["local", "remote"])
def test_threads_load_no_module(environ: dict[str, str], tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with MisbehavingFlagsmith(tls=context) as flagsmith:
        script_faults(flagsmith)
        more = {
            "REQUESTS_CA_BUNDLE": str(tmp_path / "ca.pem"),
            "FLASK_FLAGSMITH_SNAPSHOT_FILE": str(tmp_path / "flags.json"),
        }
        with subprocess.Popen(
            [sys.executable, "-m", "tests.faults.importing"],
            env={**os.environ, **flagsmith.environ, **more, **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as program:
            flagsmith.wait_for(lambda: flagsmith.stream.count >= 3 and len(flagsmith.calls) >= 4)
            flagsmith.wait_for_streams()
            flagsmith.change("banner_text", value="after")
            output, _ = program.communicate("\n", timeout=2 * PATIENCE_SECONDS)
    loaded: list[Any] = json.loads(output)
    assert loaded == []
