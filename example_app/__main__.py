"""``python -m example_app``: the shop, with the emulator beside it if there is no environment key.

``EXAMPLE_APP_PORT`` and ``EXAMPLE_APP_EMULATOR_PORT`` choose the ports; 0 takes a free one.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

from werkzeug.serving import make_server

from flask_flagsmith_realtime.emulator import Emulator, ServerError

from . import create_app
from .features import flagsmith

HOST = "127.0.0.1"
SHOP_PORT = 5080
EMULATOR_PORT = 5090
Started = TypeVar("Started")

#: How many ports are tried, from the default one on.
PORTS_TRIED = 10
SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: How soon the server notices that it is to stop.
POLL_SECONDS = 0.1


def main() -> None:
    """Serve until Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)-8s %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # not each request
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler)
    try:
        with ExitStack() as stack:
            serve(stack)
    except KeyboardInterrupt:
        print()


def serve(stack: ExitStack) -> None:
    """Start the emulator if it is needed, print the addresses, and serve until Ctrl-C."""
    settings = {}
    if "FLASK_FLAGSMITH_ENVIRONMENT_KEY" not in os.environ:
        emulator = stack.enter_context(start(emulate, "EXAMPLE_APP_EMULATOR_PORT", EMULATOR_PORT))
        settings = {**emulator.config, "EMULATOR_URL": emulator.url}
    app = create_app(settings)
    stack.callback(flagsmith.stop, app)  # before the emulator stops
    listening = stack.enter_context(start(listen, "EXAMPLE_APP_PORT", SHOP_PORT))
    server = make_server(HOST, 0, app, threaded=True, fd=listening.fileno())
    # An exception in the middle of accepting a connection would close it under the thread that
    # serves it. So a signal asks the server to stop, in a thread since `shutdown` waits for that.
    for number in SIGNALS:
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"\n  The shop             http://{HOST}:{server.port}/")
    if settings:
        print(f"  Switch flags here    {settings['EMULATOR_URL']}")
    print("\n  Ctrl-C ends both.\n" if settings else "\n  Ctrl-C ends it.\n", flush=True)
    server.serve_forever(POLL_SECONDS)
    print()


def start(on_port: Callable[[int], Started], variable: str, usual: int) -> Started:
    """Call a function with ports until one is free, and return its result."""
    for port in ports(variable, usual):
        try:
            return on_port(port)
        except (OSError, OverflowError, ServerError) as error:
            reason = f"Port {port} is not available: {error}."
    raise SystemExit(f"{reason} Choose another one with {variable}.")


def emulate(port: int) -> Emulator:
    """Start the emulator."""
    return Emulator(port).start()


def listen(port: int) -> socket.socket:
    """Open the shop's socket."""
    return socket.create_server((HOST, port))


def ports(variable: str, usual: int) -> range:
    """Return the ports to try: the chosen one, else the default one and those after it."""
    chosen = os.environ.get(variable)
    if chosen is None:
        return range(usual, usual + PORTS_TRIED)
    if not chosen.isdecimal():
        raise SystemExit(f"{variable} is {chosen!r}; it must be a port, or 0 for a free one.")
    return range(int(chosen), int(chosen) + 1)


if __name__ == "__main__":
    main()
