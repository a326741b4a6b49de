"""Random changes of a misbehaving Flagsmith, and random faults of every kind.

Three threads, each with random numbers of its own: one changes flags, one breaks the API, one the
stream. Pages without an end are not among the faults: after them, as promised, a client leaves the
API alone for ten minutes.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import Any

from tests.support.misbehaving import (
    END,
    RESET,
    SILENT,
    MisbehavingFlagsmith,
    Stream,
    answers,
    data_event,
    endless,
    event,
)
from tests.support.misbehaving.answers import Behaviour

#: The mean time between two changes, the longest fault, and the longest pause after it.
CHANGE_SECONDS = 2.0
FAULT_SECONDS = 10.0
PAUSE_SECONDS = 5.0

_REFUSALS = {"403": answers.forbid, "404": answers.status(404), "page": answers.html(200)}
#: One refusal in so many faults of the stream: it costs the stream for five minutes.
_REFUSED_OF = 50


class Torment:
    """The changes and faults of one Flagsmith.

    :param flagsmith: the Flagsmith. Nothing else may change it.
    :param seed: the seed of the random numbers.
    """

    def __init__(self, flagsmith: MisbehavingFlagsmith, seed: str) -> None:
        self._flagsmith = flagsmith
        self._changes_end = threading.Event()
        self._faults_end = threading.Event()
        self._random = {
            name: random.Random(f"{seed} {name}") for name in ("flags", "api", "stream")
        }
        self._changing = threading.Thread(target=self._change, daemon=True)
        self._breaking = [
            threading.Thread(target=target, daemon=True)
            for target in (self._break_api, self._break_stream)
        ]
        #: The number of changes. The banner's text is the number of the last one.
        self.changes = 0
        #: The number of faults by kind.
        self.faults: Counter[str] = Counter()
        #: The number of moments of change; a hundred changes at once are one.
        self.moments = 0
        #: Epochs that were announced and that the API never has.
        self.unreal: set[float] = set()
        #: The number of events without an epoch, over all streams.
        self.unnumbered = 0

    def start(self) -> None:
        """Start the threads."""
        self._flagsmith.stream.always(self._stream())
        for thread in (self._changing, *self._breaking):
            thread.start()

    def stop(self) -> None:
        """Make one last change, then end all faults."""
        self._changes_end.set()
        self._changing.join()
        self._make_change(announce=True)
        self._faults_end.set()
        for thread in self._breaking:
            thread.join()

    # Changes

    def _change(self) -> None:
        chance = self._random["flags"]
        while not self._changes_end.wait(chance.expovariate(1 / CHANGE_SECONDS)):
            self.moments += 1
            for _ in range(chance.choice([1, 1, 1, 1, 1, 1, 1, 1, 2, 100])):
                self._make_change(announce=chance.random() < 0.8)

    def _make_change(self, announce: bool) -> None:
        self.changes += 1
        self._flagsmith.change("banner_text", value=str(self.changes), announce=announce)

    # The API

    def _break_api(self) -> None:
        chance, flagsmith = self._random["api"], self._flagsmith
        while not self._faults_end.wait(chance.uniform(0, PAUSE_SECONDS)):
            name, answer = chance.choice(list(self._api_faults(chance).items()))
            self.faults[f"API {name}"] += 1
            self._answer(answer)
            if name == "refused":
                flagsmith.api_server.refuse()
            flagsmith.api_server.drop()
            self._faults_end.wait(chance.uniform(0, FAULT_SECONDS))
            self._answer(answers.truth)
            if name == "refused":
                flagsmith.api_server.listen()

    def _answer(self, answer: Behaviour) -> None:
        flagsmith = self._flagsmith
        for endpoint in (flagsmith.environment_document, flagsmith.flags, flagsmith.identities):
            endpoint.always(answer)

    def _api_faults(self, chance: random.Random) -> dict[str, Behaviour]:
        return {
            "500": answers.status(500),
            "502 page": answers.html(502),
            "200 page": answers.html(200),
            "empty object": answers.body(b"{}"),
            "cut off": answers.cut_off,
            "reset": answers.reset,
            "vanish": answers.vanish,
            "vanish when kept": answers.once_per_connection(),
            "hang": answers.hang,
            "hang in body": answers.hang_in_body,
            "slow": answers.slow(chance.uniform(0.1, 2.0)),
            "429": answers.too_many(str(chance.randint(1, 5))),
            "403": answers.forbid,
            "redirect": answers.redirect(self._flagsmith.elsewhere_url),
            "older": answers.older(chance.uniform(0.5, 5.0)),
            "older in turns": answers.by_turns(answers.truth, answers.older(5.0)),
            "older by connection": answers.by_connection(answers.truth, answers.older(5.0)),
            "another environment": answers.of_another_environment,
            "year 9999": answers.in_the_future,
            "header lags": answers.lagging_header(60.0),
            "header lags in turns": answers.by_turns(answers.truth, answers.lagging_header(60.0)),
            "200 MiB": answers.huge(),
            "refused": answers.truth,
        }

    # The stream

    def _break_stream(self) -> None:
        chance, flagsmith = self._random["stream"], self._flagsmith
        while not self._faults_end.wait(chance.uniform(0, PAUSE_SECONDS)):
            faults = (
                _REFUSALS if chance.randrange(_REFUSED_OF) == 0 else self._stream_faults(chance)
            )
            name, behaviour = chance.choice(list(faults.items()))
            self.faults[f"stream {name}"] += 1
            flagsmith.stream.always(behaviour)
            if name == "refused":
                flagsmith.stream_server.refuse()
            flagsmith.say(chance.choice([END, RESET]))
            if chance.random() < 0.3:
                self._send_odd_events(chance)
            self._faults_end.wait(chance.uniform(0, FAULT_SECONDS))
            flagsmith.stream.always(self._stream())
            if name == "refused":
                flagsmith.stream_server.listen()
            # A client that waits for an answer, or listens to silence, connects again.
            flagsmith.stream_server.drop()

    def _stream_faults(self, chance: random.Random) -> dict[str, Any]:
        return {
            "500": answers.status(500),
            "503": answers.status(503),
            "429": answers.too_many(str(chance.randint(1, 5))),
            "vanish": answers.vanish,
            "hang": answers.hang,
            "silent": SILENT,
            "refused": self._stream(),
            "recycled": self._stream(lasts=1.0),
            "recycled, ungreeted": self._stream(lasts=1.0, greeting=None),
            "newer than the API": self._stream(lasts=1.0, greeting=self._newer),
            "ends at once": self._stream(lasts=0.0),
            "half an event": self._stream(lasts=1.5, ending=b'data: {"upd', resets=True),
            "unframed": self._stream(chunked=False),
            "byte by byte": self._stream(piece=1, gzipped=True),
            "no text": Stream(opening=b"data: \xff\n\n"),
            "endless line": endless(b"x"),
            "milliseconds": self._stream(scale=1000),
            "retry": self._stream(retry=15000),
        }

    def _stream(self, scale: float = 1, retry: int | None = None, **kwargs: Any) -> Stream:
        return Stream(render=lambda epoch: event(epoch * scale, retry), **kwargs)

    def _newer(self, epoch: float) -> float:
        self.unreal.add(epoch + 3600)
        return epoch + 3600

    def _send_odd_events(self, chance: random.Random) -> None:
        """Send odd events to the streams that are open, once there are some."""
        flagsmith = self._flagsmith
        self._faults_end.wait(2.0)
        kind = chance.choice(["absurd", "unnumbered", "no epoch", "old", "burst"])
        self.faults[f"event {kind}"] += 1
        if kind == "absurd":
            self.unreal.add(absurd := 4e9 + chance.randrange(10))
            flagsmith.announce(absurd)
        elif kind == "unnumbered":
            self.unnumbered += flagsmith.open_streams
            flagsmith.say(data_event("{}"))
        elif kind == "no epoch":
            flagsmith.say(data_event('{"updated_at": true}'), data_event("nonsense"))
        elif kind == "old":
            flagsmith.announce(*range(1000))
        else:
            flagsmith.say(event(flagsmith.truth.version.epoch) * 2000)
