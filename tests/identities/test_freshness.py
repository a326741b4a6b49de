"""The freshness of identities' answers in remote evaluation, without a clock and a network."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from flask_flagsmith_realtime import Snapshot
from flask_flagsmith_realtime.identities.freshness import KeptAnswer, state_of
from flask_flagsmith_realtime.model import snapshot_of_flags

TTL = 60.0


def snapshot(epoch: float | None, value: object = "a", announced: float | None = None) -> Snapshot:
    state = {"feature": {"id": 1, "name": "a"}, "enabled": True, "feature_state_value": value}
    made = snapshot_of_flags(json.dumps([state]).encode(), epoch, 0.0, "key")
    return replace(made, announced=announced)


def test_the_same_state_again_is_the_same() -> None:
    assert state_of(snapshot(1.0)) == state_of(snapshot(1.0))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({"epoch": 1.0}, {"epoch": 2.0}, id="newer epoch"),
        pytest.param({"epoch": 1.0}, {"epoch": 1.0, "value": "b"}, id="other flags"),
        pytest.param({"epoch": 1.0}, {"epoch": 1.0, "announced": 2.0}, id="announced"),
        pytest.param({"epoch": 1.0, "value": 1}, {"epoch": 1.0, "value": True}, id="other type"),
        pytest.param({"epoch": None}, {"epoch": None, "value": "b"}, id="without epochs"),
    ],
)
def test_another_state(before: Any, after: Any) -> None:
    assert state_of(snapshot(**before)) != state_of(snapshot(**after))


def test_an_answer_is_kept_for_its_ttl_in_its_state() -> None:
    answer = KeptAnswer().followed_by({}, 3, 100.0, None, None)
    assert answer.is_fresh(3, 159.0, TTL)
    assert not answer.is_fresh(3, 160.0, TTL)
    assert not answer.is_fresh(4, 101.0, TTL)


def test_an_answer_behind_the_announced_epoch_is_confirmed_twice() -> None:
    first = KeptAnswer().followed_by({}, 1, 100.0, announced=50.0, epoch=40.0)
    assert first.is_fresh(1, 100.9, TTL)
    assert not first.is_fresh(1, 101.0, TTL)
    second = first.followed_by({}, 1, 101.0, announced=50.0, epoch=40.0)
    assert second.is_fresh(1, 104.9, TTL)
    assert not second.is_fresh(1, 105.0, TTL)
    third = second.followed_by({}, 1, 105.0, announced=50.0, epoch=40.0)
    assert third.is_fresh(1, 164.0, TTL)
    # The fourth call comes when the header has caught up: another state.
    assert not third.is_fresh(2, 110.0, TTL)
    fourth = third.followed_by({}, 2, 110.0, announced=50.0, epoch=50.0)
    assert fourth.confirm_at == math.inf


@pytest.mark.parametrize("epoch", [50.0, 51.0, None])
def test_an_answer_that_is_not_behind_is_not_confirmed(epoch: float | None) -> None:
    answer = KeptAnswer().followed_by({}, 1, 100.0, announced=50.0, epoch=epoch)
    assert answer.is_fresh(1, 159.0, TTL)


def test_another_announcement_counts_from_the_start() -> None:
    first = KeptAnswer().followed_by({}, 1, 100.0, announced=50.0, epoch=40.0)
    after = first.followed_by({}, 2, 200.0, announced=60.0, epoch=50.0)
    assert (after.count, after.confirm_at) == (1, 201.0)


def test_an_announcement_of_an_absurd_epoch_costs_no_more() -> None:
    answer = KeptAnswer()
    for number in range(5):
        answer = answer.followed_by({}, 1, 100.0 + number, announced=9e9, epoch=40.0)
    assert answer.confirm_at == math.inf
