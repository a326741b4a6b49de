"""Putting bodies together from their pieces."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from flask_flagsmith_realtime.client.body import join_pieces

LARGE = bytes(range(256)) * 10_000


@given(st.lists(st.binary(min_size=1, max_size=4), max_size=6), st.binary(max_size=16))
@example([LARGE[:2_000_000], LARGE[2_000_000:]], LARGE)
@example([LARGE[:2_000_000], LARGE[2_000_000:]], LARGE[:-1] + b"x")
@example([LARGE[:2_000_000], LARGE[2_000_000:]], LARGE + b"x")
@example([LARGE[:2_000_000]], LARGE)
@example([LARGE[:1_000_000], b"x"], LARGE)
@example([LARGE[:1_000_000], b"x", LARGE[:2_000_000]], LARGE)
def test_a_body_is_that_of_its_pieces_whatever_is_known(pieces: list[bytes], known: bytes) -> None:
    body = join_pieces(iter(pieces), 5_000_000, known)
    assert body == b"".join(pieces)
    assert (body is known) is (body == known)


def test_of_a_body_that_is_too_long_part_is_returned() -> None:
    for size in (1_999_999, 2_000_000, 2_000_001, 2_500_000):
        pieces = (LARGE[begin : min(begin + 30_000, size)] for begin in range(0, size, 30_000))
        assert join_pieces(pieces, 2_000_000) == LARGE[: min(size, 2_000_001)]
