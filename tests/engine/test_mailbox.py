"""The mailbox: what is put in, what is taken out, and what hides what."""

from __future__ import annotations

import random
import threading
import time

import pytest

from flask_flagsmith_realtime.engine import RefreshHint
from flask_flagsmith_realtime.engine.mailbox import Mail, Mailbox
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


def test_an_empty_mailbox_gives_nothing(mailbox: Mailbox) -> None:
    assert mailbox.take(timeout=0) == Mail()


def test_mail_is_taken_once(mailbox: Mailbox) -> None:
    mailbox.announce(5.0)
    mailbox.announce(None)
    assert mailbox.take(timeout=0) == Mail(newest=5.0, unnumbered=True)
    assert mailbox.take(timeout=0) == Mail()


def test_of_a_burst_the_newest_epoch_is_left(mailbox: Mailbox) -> None:
    numbers = [float(number) for number in range(5000)]
    random.Random(1).shuffle(numbers)
    for number in numbers:
        mailbox.announce(number)
    assert mailbox.take(timeout=0).newest == 4999.0


@pytest.mark.parametrize("order", [(9e9, 5.0), (5.0, 9e9), (9e9, 5.0, 9e9), (9e9, 4.0, 5.0, 9e9)])
def test_a_known_epoch_does_not_hide_a_real_one(mailbox: Mailbox, order: tuple[float, ...]) -> None:
    mailbox.known = frozenset({9e9})
    for epoch in order:
        mailbox.announce(epoch)
    assert mailbox.take(timeout=0).newest == 5.0


def test_an_epoch_that_became_known_meanwhile_does_not_hide_a_real_one(mailbox: Mailbox) -> None:
    mailbox.announce(9e9)
    mailbox.known = frozenset({9e9})
    mailbox.announce(5.0)
    assert mailbox.take(timeout=0).newest == 5.0


def test_a_known_epoch_alone_still_greets(mailbox: Mailbox) -> None:
    mailbox.known = frozenset({9e9})
    mailbox.connected()
    mailbox.announce(9e9)
    assert mailbox.take(timeout=0).greeting == (9e9,)


@pytest.mark.parametrize("first", [5.0, None])
def test_only_the_first_event_of_a_connection_greets(mailbox: Mailbox, first: float | None) -> None:
    mailbox.connected()
    mailbox.announce(first)
    mailbox.announce(6.0)
    assert mailbox.take(timeout=0).greeting == (first,)
    mailbox.announce(7.0)
    assert mailbox.take(timeout=0).greeting == ()
    mailbox.disconnected("because")
    mailbox.announce(8.0)
    assert mailbox.take(timeout=0).greeting == ()


def test_transitions_come_in_order(mailbox: Mailbox) -> None:
    mailbox.connected()
    mailbox.disconnected("because")
    mailbox.connected()
    assert list(mailbox.take(timeout=0).transitions) == [None, "because", None]


def test_only_an_event_of_the_newest_connection_greets(mailbox: Mailbox) -> None:
    mailbox.connected()
    mailbox.announce(5.0)
    mailbox.disconnected("because")
    mailbox.connected()
    mail = mailbox.take(timeout=0)
    assert (mail.newest, mail.greeting) == (5.0, ())


def test_transitions_do_not_pile_up(mailbox: Mailbox) -> None:
    for _ in range(10_000):
        mailbox.connected()
        mailbox.disconnected("because")
    transitions = mailbox.take(timeout=0).transitions
    assert len(transitions) <= 64
    assert transitions[-1] == "because"


@pytest.mark.parametrize("reason", ["event", "unnumbered", "transition", "hint", "close"])
def test_whatever_comes_in_wakes_the_one_who_waits(mailbox: Mailbox, reason: str) -> None:
    put = {
        "event": lambda: mailbox.announce(5.0),
        "unnumbered": lambda: mailbox.announce(None),
        "transition": mailbox.connected,
        "hint": lambda: mailbox.hint(RefreshHint()),
        "close": mailbox.close,
    }[reason]
    taken: list[Mail] = []
    taker = threading.Thread(target=lambda: taken.append(mailbox.take(timeout=None)))
    taker.start()
    put()
    taker.join(PATIENCE_SECONDS)
    assert not taker.is_alive()
    assert mailbox.is_closed is (reason == "close")


def test_a_hint_is_left_until_it_is_noted(mailbox: Mailbox) -> None:
    mailbox.hint(RefreshHint(5.0))
    assert mailbox.take(timeout=0).hint == RefreshHint(5.0)
    assert mailbox.take(timeout=0).hint is None
    mailbox.hint(RefreshHint(3.0))
    assert mailbox.close() == RefreshHint(5.0)
    mailbox.take(timeout=0)
    mailbox.noted_hint()
    assert mailbox.close() is None


def test_a_closed_mailbox_stays_closed(mailbox: Mailbox) -> None:
    mailbox.close()
    for _ in range(2):
        assert mailbox.take(timeout=None) == Mail()
        assert mailbox.is_closed


def test_a_wait_ends_after_its_timeout(mailbox: Mailbox) -> None:
    assert mailbox.take(timeout=0.01) == Mail()


def test_no_announcement_is_lost_between_threads(mailbox: Mailbox) -> None:
    """Several threads announce, each epochs of its own and nonsense that is known."""
    mailbox.known = frozenset({9e9})
    writers, each = 4, 2000

    def write(first: int) -> None:
        for number in range(first, first + each):
            mailbox.announce(float(number))
            mailbox.announce(9e9)

    threads = [threading.Thread(target=write, args=(index * each,)) for index in range(writers)]
    for thread in threads:
        thread.start()
    newest: list[float] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while float(writers * each - 1) not in newest and time.monotonic() < deadline:
        mail = mailbox.take(timeout=1)
        if mail.newest is not None and mail.newest != 9e9:
            newest.append(mail.newest)
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert float(writers * each - 1) in newest
