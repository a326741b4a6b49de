"""Regular expressions of segments: matched as the server does, within a time limit."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flask_flagsmith_realtime.model.patterns import MATCH_TIMEOUT_SECONDS, matches
from tests.support.turns import others_run_during
from tests.support.waiting import eventually

pytestmark = pytest.mark.filterwarnings("ignore:Possible (nested set|set):FutureWarning")

PARTS = [
    *(
        "a",
        "b",
        "1",
        " ",
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        "|",
        "*",
        "+",
        "?",
        "*?",
        "^",
        "$",
        ".",
        "#",
    ),
    *(
        "{e}",
        "{i<=1}",
        "{1}",
        "{,2}",
        "{2,}",
        "{,}",
        "{1,2}",
        "x{e<1}",
        "[:",
        "[[:alpha:]]",
        "[^a]",
    ),
    *("[a-z]", "(?:", "(?i)", "(?s)", "(?x)", "(?=", "(?!", "(?<=", "(?P<n>", "(?P=n)", "&&", "--"),
    *("||", "~~", "-", ":", ",", "ä", "ß"),
    *(r"\d", r"\w", r"\s", r"\b", r"\Z", r"\A", r"\{", r"\[", r"\\", r"\1"),
]
TEXTS = st.text(st.sampled_from("ab1 {}e:[]ilph<=,AÄäßsSKk\n"), max_size=8)


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.sampled_from(PARTS), max_size=8).map("".join), st.lists(TEXTS, max_size=5))
def test_patterns_match_as_those_of_the_standard_library(pattern: str, texts: list[str]) -> None:
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, DeprecationWarning):
        with pytest.raises(ValueError, match="not a regular expression"):
            matches(pattern, "")
        return
    for text in texts:
        assert matches(pattern, text) is (compiled.match(text) is not None)


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab|*+?{1}()[]"), max_size=12), st.integers(0, 30))
def test_no_pattern_takes_long(pattern: str, length: int) -> None:
    begin = time.thread_time()
    try:
        matches(pattern, "a" * length + "!")
    except TimeoutError:
        return
    except ValueError:
        assume(False)
    # Without a limit it may take hours. A run of the garbage collector may fall into this time.
    assert time.thread_time() - begin < 50 * MATCH_TIMEOUT_SECONDS


@pytest.mark.parametrize("pattern", ["^(a|a)*$", "^(a|aa)+$", "(a?){30}b", "(x+x+)+y", "^(a+)+$"])
def test_other_threads_run_while_a_pattern_takes_long(pattern: str) -> None:
    takes_long = False

    def match() -> None:
        nonlocal takes_long
        try:
            assert not matches(pattern, "a" * 60 + "!")
        except TimeoutError:
            takes_long = True

    eventually(lambda: others_run_during(match) or not takes_long)


def test_numbers_are_matched_as_text() -> None:
    assert matches("^1", 15)
    assert matches(1, "15")
    assert not matches("^True", 1)
