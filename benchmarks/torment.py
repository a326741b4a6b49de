"""Torment: a misbehaving Flagsmith that changes at random, and fails at random in every way.

Three threads, each with its own luck: one changes flags, one troubles the API, one the stream.
"""

from __future__ import annotations

import random
import threading
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

#: The mean time between two changes, how long a fault lasts at the most, and the calm after it.
CHANGE_SECONDS = 2.0
FAULT_SECONDS = 10.0
CALM_SECONDS = 5.0

_REFUSALS = {"403": answers.forbid, "404": answers.status(404), "page": answers.html(200)}
#: One refusal in so many faults of the stream: it costs the stream for five minutes.
_REFUSED_OF = 50


class Torment:
    """What a Flagsmith goes through.

    :param flagsmith: which one.
    :param seed: what its luck is made of.
    """

    def __init__(self, flagsmith: MisbehavingFlagsmith, seed: str) -> None:
        self._flagsmith = flagsmith
        self._given_up = threading.Event()
        self._over = threading.Event()
        self._luck = {name: random.Random(f"{seed} {name}") for name in ("flags", "api", "stream")}
        self._changing = threading.Thread(target=self._change, daemon=True)
        self._troubling = [
            threading.Thread(target=target, daemon=True)
            for target in (self._trouble_api, self._trouble_stream)
        ]
        #: How many changes there were. The banner's text is the number of the last one.
        self.changes = 0
        #: How many faults of each kind there were.
        self.faults: dict[str, int] = {}
        #: How many moments of change there were; a hundred changes at once are one.
        self.moments = 0
        #: Epochs that were announced and that the API never has.
        self.unreal: set[float] = set()
        #: How many events without an epoch there were, over all streams.
        self.unnumbered = 0

    def start(self) -> None:
        """Begin."""
        self._flagsmith.stream.always(self._stream())
        for thread in (self._changing, *self._troubling):
            thread.start()

    def stop(self) -> None:
        """Make one last change, then end all faults."""
        self._given_up.set()
        self._changing.join()
        self._make_change(announce=True)
        self._over.set()
        for thread in self._troubling:
            thread.join()

    # Changes

    def _change(self) -> None:
        luck = self._luck["flags"]
        while not self._given_up.wait(luck.expovariate(1 / CHANGE_SECONDS)):
            self.moments += 1
            for _ in range(luck.choice([1, 1, 1, 1, 1, 1, 1, 1, 2, 100])):
                self._make_change(announce=luck.random() < 0.8)

    def _make_change(self, announce: bool) -> None:
        self.changes += 1
        self._flagsmith.change("banner_text", value=str(self.changes), announce=announce)

    # The API

    def _trouble_api(self) -> None:
        luck, flagsmith = self._luck["api"], self._flagsmith
        while not self._over.wait(luck.uniform(0, CALM_SECONDS)):
            name, answer = luck.choice(list(self._api_faults(luck).items()))
            self._count(f"API {name}")
            self._answer(answer)
            if name == "refused":
                flagsmith.api_server.refuse()
            flagsmith.api_server.drop()
            self._over.wait(luck.uniform(0, FAULT_SECONDS))
            self._answer(answers.truth)
            if name == "refused":
                flagsmith.api_server.listen()

    def _answer(self, answer: Behaviour) -> None:
        flagsmith = self._flagsmith
        for endpoint in (flagsmith.environment_document, flagsmith.flags, flagsmith.identities):
            endpoint.always(answer)

    def _api_faults(self, luck: random.Random) -> dict[str, Behaviour]:
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
            "slow": answers.slow(luck.uniform(0.1, 2.0)),
            "429": answers.too_many(str(luck.randint(1, 5))),
            "403": answers.forbid,
            "redirect": answers.redirect(self._flagsmith.elsewhere_url),
            "older": answers.older(luck.uniform(0.5, 5.0)),
            "older in turns": answers.by_turns(answers.truth, answers.older(5.0)),
            "older by connection": answers.by_connection(answers.truth, answers.older(5.0)),
            "header lags": answers.lagging_header(60.0),
            "header lags in turns": answers.by_turns(answers.truth, answers.lagging_header(60.0)),
            "200 MiB": answers.huge(),
            "refused": answers.truth,
        }

    # The stream

    def _trouble_stream(self) -> None:
        luck, flagsmith = self._luck["stream"], self._flagsmith
        while not self._over.wait(luck.uniform(0, CALM_SECONDS)):
            faults = _REFUSALS if luck.randrange(_REFUSED_OF) == 0 else self._stream_faults(luck)
            name, behaviour = luck.choice(list(faults.items()))
            self._count(f"stream {name}")
            flagsmith.stream.always(behaviour)
            if name == "refused":
                flagsmith.stream_server.refuse()
            flagsmith.say(luck.choice([END, RESET]))
            if luck.random() < 0.3:
                self._talk_nonsense(luck)
            self._over.wait(luck.uniform(0, FAULT_SECONDS))
            flagsmith.stream.always(self._stream())
            if name == "refused":
                flagsmith.stream_server.listen()
            # Whoever waits for an answer, or listens to silence, comes again.
            flagsmith.stream_server.drop()

    def _stream_faults(self, luck: random.Random) -> dict[str, Any]:
        return {
            "500": answers.status(500),
            "503": answers.status(503),
            "429": answers.too_many(str(luck.randint(1, 5))),
            "vanish": answers.vanish,
            "vanish when kept": answers.once_per_connection(),
            "hang": answers.hang,
            "silent": SILENT,
            "refused": self._stream(),
            "recycled": self._stream(lasts=1.0),
            "recycled, ungreeted": self._stream(lasts=1.0, greeting=None),
            "newer for ever": self._stream(lasts=1.0, greeting=self._newer),
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

    def _talk_nonsense(self, luck: random.Random) -> None:
        """Say something to the streams that are open, once there are some."""
        flagsmith = self._flagsmith
        self._over.wait(2.0)
        kind = luck.choice(["absurd", "unnumbered", "no epoch", "old", "burst"])
        self._count(f"event {kind}")
        if kind == "absurd":
            self.unreal.add(absurd := 4e9 + luck.randrange(10))
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

    def _count(self, fault: str) -> None:
        self.faults[fault] = self.faults.get(fault, 0) + 1
