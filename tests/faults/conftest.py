"""Fixtures of the tests with a Flagsmith that misbehaves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.lanes import PATIENT, Lane, Lanes, MakeLanes


@pytest.fixture(scope="module")
def make_lanes() -> Iterator[MakeLanes]:
    """Makes lanes. Their Flagsmiths can be given faults before the server starts."""
    made: list[Lanes] = []

    def make(*names: str) -> Lanes:
        made.append(Lanes({name: Lane(name) for name in names}, PATIENT))
        return made[-1]

    yield make
    for lanes in made:
        lanes.close()
