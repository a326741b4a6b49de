"""One change for each kind of fault, followed by Flagsmith's SDK and by this project.

Both run in local evaluation with real-time updates against a server that misbehaves, one fault at a
time. The table says after how many seconds the client has the right flag, and how many connections
it opened to the stream and calls it made meanwhile::

    python -m benchmarks.faults

To keep it short, both poll every 3 s where they poll, and the stream may be silent for 3 s where
there is such a setting. ``never`` means not within 15 s. About three minutes.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flagsmith import Flagsmith
from flask import Flask

from flask_flagsmith_realtime import FlagsmithRealtime, flags
from tests.support.misbehaving import MisbehavingFlagsmith, Stream, answers, data_event
from tests.support.misbehaving.streams import END

PATIENCE_SECONDS = 15.0
POLL_SECONDS = 3.0
#: After the start: longer than a greeting takes, and than the shortest time between two fetches.
SETTLE_SECONDS = 1.5
FEATURE = "banner_text"
AFTER = "after"

Read = Callable[[], Any]
Client = Callable[[MisbehavingFlagsmith], contextlib.AbstractContextManager[Read]]


@contextmanager
def sdk(flagsmith: MisbehavingFlagsmith) -> Iterator[Read]:
    """Flagsmith's SDK in its real-time mode."""
    client = Flagsmith(
        environment_key=flagsmith.server_side_key,
        api_url=flagsmith.api_url,
        realtime_api_url=flagsmith.realtime_api_url,
        enable_local_evaluation=True,
        enable_realtime_updates=True,
        environment_refresh_interval_seconds=POLL_SECONDS,
    )
    try:
        yield lambda: client.get_environment_flags().get_feature_value(FEATURE)
    finally:
        client.event_stream_thread.stop()


@contextmanager
def extension(flagsmith: MisbehavingFlagsmith) -> Iterator[Read]:
    """This project."""
    app = Flask(__name__)
    app.config.update(flagsmith.config)
    app.config["FLAGSMITH_ENVIRONMENT_REFRESH_INTERVAL_SECONDS"] = POLL_SECONDS
    app.config["FLAGSMITH_STREAM_TIMEOUT_SECONDS"] = POLL_SECONDS
    extension = FlagsmithRealtime(app)

    def read() -> Any:
        with app.app_context():
            return flags.get_feature_value(FEATURE)

    extension.start(app)
    try:
        yield read
    finally:
        extension.stop(app)


CLIENTS: dict[str, Client] = {"Flagsmith SDK": sdk, "this project": extension}

#: A fault happens to a running client, with a change in it.
Fault = Callable[[MisbehavingFlagsmith], None]


def change(flagsmith: MisbehavingFlagsmith, *, announce: bool = True) -> None:
    flagsmith.change(FEATURE, value=AFTER, announce=announce)


def no_fault(flagsmith: MisbehavingFlagsmith) -> None:
    change(flagsmith)


def change_in_a_gap(flagsmith: MisbehavingFlagsmith) -> None:
    flagsmith.stream.always(Stream(greeting=None))
    change(flagsmith, announce=False)
    flagsmith.say(END)


def stream_refused(flagsmith: MisbehavingFlagsmith) -> None:
    flagsmith.stream.always(answers.status(404))
    flagsmith.say(END)
    change(flagsmith, announce=False)


def dead_connection(flagsmith: MisbehavingFlagsmith) -> None:
    # No heartbeat and no event comes over it any more. A new one is in order.
    change(flagsmith, announce=False)


def malformed_event(flagsmith: MisbehavingFlagsmith) -> None:
    flagsmith.stream.always(Stream(greeting=None))
    flagsmith.say(data_event("nonsense"))
    change(flagsmith)


def api_fails(flagsmith: MisbehavingFlagsmith) -> None:
    flagsmith.environment_document.always(answers.for_a_while(2.0, answers.status(500)))
    change(flagsmith)


def api_hangs(flagsmith: MisbehavingFlagsmith) -> None:
    flagsmith.environment_document.next(answers.hang)
    change(flagsmith)


def api_lags(flagsmith: MisbehavingFlagsmith) -> None:
    flagsmith.environment_document.always(answers.older(2.0))
    change(flagsmith)


def nonsense_answer(flagsmith: MisbehavingFlagsmith) -> None:
    flagsmith.environment_document.next(answers.html(200))
    change(flagsmith)


def redirect(flagsmith: MisbehavingFlagsmith) -> None:
    flagsmith.environment_document.always(answers.redirect(flagsmith.elsewhere_url))
    change(flagsmith)
    time.sleep(1.0)
    flagsmith.environment_document.always(answers.truth)


FAULTS: dict[str, Fault] = {
    "none": no_fault,
    "a change while reconnecting, no greeting": change_in_a_gap,
    "the stream is refused (404)": stream_refused,
    "a dead connection": dead_connection,
    "a malformed event": malformed_event,
    "the API answers 500 for 2 s": api_fails,
    "one call hangs": api_hangs,
    "the API is 2 s behind the stream": api_lags,
    "one answer is a web page": nonsense_answer,
    "a redirect to another host for 1 s": redirect,
}


def settle(flagsmith: MisbehavingFlagsmith, read: Read) -> None:
    """Wait until a client rests: it has flags, and its stream has greeted it."""
    read()
    flagsmith.wait_for_streams(1)
    time.sleep(SETTLE_SECONDS)


def seconds_until(read: Read) -> float | None:
    """Return after how many seconds a client has the right flag; ``None``: not in time."""
    began = time.monotonic()
    while time.monotonic() < began + PATIENCE_SECONDS:
        if read() == AFTER:
            return time.monotonic() - began
        time.sleep(0.005)
    return None


def measure(client: Client, fault: Fault) -> str:
    """Run one client through one fault.

    :returns: a cell of the table.
    """
    with MisbehavingFlagsmith() as flagsmith, client(flagsmith) as read:
        settle(flagsmith, read)
        streams, calls = flagsmith.stream.count, len(flagsmith.calls)
        fault(flagsmith)
        seconds = seconds_until(read)
        streams, calls = flagsmith.stream.count - streams, len(flagsmith.calls) - calls
        leak = ", key sent there" if flagsmith.leaks else ""
    return cell(seconds, f"{streams} + {calls}{leak}")


def measure_down_at_start(client: Client) -> str:
    """Start a client while the API is down for 2 s."""
    with MisbehavingFlagsmith() as flagsmith:
        flagsmith.truth.change(FEATURE, value=AFTER)
        flagsmith.environment_document.always(answers.for_a_while(2.0, answers.status(500)))
        try:
            with client(flagsmith) as read:
                return cell(seconds_until(read), "")
        except Exception as error:
            return f"raises {type(error).__name__}"


def measure_fork(client: Client) -> str:
    """Read in a process that was forked after the start, as gunicorn's workers with --preload."""
    context = multiprocessing.get_context("fork")
    with MisbehavingFlagsmith() as flagsmith, client(flagsmith) as read:
        settle(flagsmith, read)
        queue = context.SimpleQueue()
        changed = context.Event()

        def follow() -> None:
            read()
            changed.wait()
            queue.put(seconds_until(read))

        child = context.Process(target=follow, daemon=True)
        child.start()
        time.sleep(SETTLE_SECONDS)
        change(flagsmith)
        changed.set()
        seconds = queue.get()
        child.join()
    return cell(seconds, "")


STARTS: dict[str, Callable[[Client], str]] = {
    "the API is down for 2 s at the start": measure_down_at_start,
    "a forked process": measure_fork,
}


def cell(seconds: float | None, cost: str) -> str:
    shown = "never" if seconds is None else f"{seconds:.2f} s"
    return f"{shown} ({cost})" if cost else shown


def main() -> None:
    """Print the table."""
    logging.disable()
    print("seconds until the right flag (connections + calls)")
    print_row("fault", *CLIENTS)
    for name, fault in FAULTS.items():
        print_row(name, *(measure(client, fault) for client in CLIENTS.values()))
    for name, measure_start in STARTS.items():
        print_row(name, *(measure_start(client) for client in CLIENTS.values()))


def print_row(name: str, *cells: str) -> None:
    print(f"{name:42}{cells[0]:33}{cells[1]}", flush=True)


if __name__ == "__main__":
    main()
