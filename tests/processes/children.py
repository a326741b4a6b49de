"""A program whose child processes read flags: ``python -m tests.processes.children METHOD``."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading

from flask import Flask

from flask_flagsmith_realtime import flags, flags_changed
from tests.support.served import create_app
from tests.support.waiting import PATIENCE_SECONDS


def follow(app: Flask, who: str) -> None:
    """Print each banner until it is 'after'."""
    heard = threading.Event()

    @flags_changed.connect_via(app)
    def wake(app: Flask, **_: object) -> None:
        heard.set()

    while True:
        with app.app_context():
            banner = flags["banner_text"].value
        print(f"{who} sees {banner}", flush=True)
        if banner == "after":
            return
        heard.wait(PATIENCE_SECONDS)
        heard.clear()


def child() -> None:
    """Follow in a child with an app of its own."""
    follow(create_app(), "child")


def main() -> None:
    """Start a child, and follow in both processes."""
    app = create_app()
    method = sys.argv[1]
    if method == "short-lived":
        with app.app_context():
            assert flags["banner_text"]
        pid = os.fork()
        if pid == 0:
            sys.exit(0)
        os.waitpid(pid, 0)
        print("child has ended", flush=True)
        follow(app, "parent")
        return
    context = multiprocessing.get_context(method)
    process = (
        context.Process(target=follow, args=(app, "child"))
        if method == "fork"
        else context.Process(target=child)
    )
    process.start()
    follow(app, "parent")
    process.join()
    sys.exit(process.exitcode)


if __name__ == "__main__":
    main()
