"""One :class:`Flag` of each kind, shared by all identities for whom it is the same."""

from __future__ import annotations

from collections.abc import Hashable

from flagsmith.models import Flag as EvaluatedFlag

from ..model import Flag, flag_of

#: More than a snapshot has. When it is full it starts anew: flags in use live on with their users.
_MOST_FLAGS = 10_000


class FlagPool:
    """Turns evaluated flags into shared ones. Any thread may use it."""

    def __init__(self) -> None:
        self._flags: dict[Hashable, Flag] = {}

    def of(self, evaluated: EvaluatedFlag) -> Flag:
        """The flag for what the SDK evaluated, or the API answered."""
        value = evaluated.value
        key = (
            evaluated.feature_name,
            evaluated.enabled,
            type(value),
            value,
            evaluated.feature_id,
            evaluated.variant,
            evaluated.reason,
        )
        flag = self._flags.get(key)
        if flag is None:
            if len(self._flags) >= _MOST_FLAGS:
                self._flags.clear()
            flag = self._flags[key] = flag_of(evaluated)
        return flag
