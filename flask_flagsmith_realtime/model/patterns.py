"""Regular expressions of segments, matched within a time limit.

Flagsmith's server and SDK match them with :mod:`re`, which holds the GIL and can take hours for a
careless pattern, such as ``^(a+)+$``, on a short text. A pattern with at most one repetition or
alternative is always quick: it is matched with :mod:`re`. All others are matched with the ``regex``
package, which stops after :data:`MATCH_TIMEOUT_SECONDS` and releases the GIL meanwhile.

Both match alike: a pattern that :mod:`re` does not accept is refused, and syntax that has a meaning
for ``regex`` alone is escaped. One difference is left: ``\\w`` of ``regex`` includes combining
marks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import regex
from flag_engine.segments.evaluator import MATCHERS_BY_OPERATOR

#: The operator that the flag engine is given in place of ``REGEX``. It is added to the engine's, so
#: that the app's own use of the SDK stays as it is.
BOUNDED_REGEX = "REGEX (bounded)"

#: A match of a sane pattern takes microseconds.
MATCH_TIMEOUT_SECONDS = 0.1

#: Where it is no repetition ``{`` begins a fuzzy match for ``regex``, and ``[:`` a POSIX class.
_ONLY_OF_REGEX = r"(?s)\\.|\{(?!\d*,?\d*\})|\[(?=:)|\{(?=\})"


def matches(pattern: object, value: object) -> bool:
    """Returns ``True`` if a value matches a pattern from its beginning.

    :raises TimeoutError: if that takes longer than :data:`MATCH_TIMEOUT_SECONDS`.
    """
    return matcher_of(str(pattern))(str(value)) is not None


@lru_cache(maxsize=1024)
def matcher_of(pattern: str) -> Callable[[str], object]:
    """Compiles a pattern.

    :raises ValueError: if it is not a regular expression of :mod:`re`.
    """
    try:
        compiled = re.compile(pattern)
        if len(re.findall(r"[*+?{|]", pattern)) <= 1:
            return compiled.match
        bounded = regex.compile(re.sub(_ONLY_OF_REGEX, _escape, pattern), regex.VERSION0)
    except (re.error, regex.error, OverflowError, RecursionError, DeprecationWarning) as error:
        # Before 3.11, re only warns of flags that are not at the start.
        raise ValueError(f"not a regular expression: {error}") from None
    return partial(bounded.match, timeout=MATCH_TIMEOUT_SECONDS, concurrent=True)


def _escape(found: re.Match[str]) -> str:
    text = found[0]
    if text == "[":
        return "[\\"
    return "\\{" if text == "{" else text


_matchers: dict[Any, Any] = MATCHERS_BY_OPERATOR
_matchers[BOUNDED_REGEX] = matches
