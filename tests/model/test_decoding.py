"""Decoding in several threads: the first use of a type by two of them at once."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest

from flask_flagsmith_realtime.model import decode_identity
from tests.support import recorded
from tests.support.snapshots import decode_document
from tests.support.waiting import PATIENCE_SECONDS


def main() -> None:
    """Decode in threads what nothing has decoded before."""
    sys.setswitchinterval(1e-6)
    document, identity = recorded.environment_document(), json.dumps({"flags": recorded.flags()})
    begin = threading.Barrier(8)

    def work(number: int) -> None:
        begin.wait()
        if number % 2:
            assert decode_document(document).feature_states
        else:
            assert decode_identity(identity.encode())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("done")


@pytest.mark.slow
def test_threads_that_decode_for_the_first_time_do_not_disturb_each_other() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.model.test_decoding"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


if __name__ == "__main__":
    main()
