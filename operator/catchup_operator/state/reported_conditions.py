"""The conditions that each resource has by the API server, to be counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from catchup_contract.kinds import user_kinds
from catchup_operator.manifests.names import Key, key_of
from catchup_operator.schedule.user_schedule import pool_of
from catchup_operator.status.conditions import READY, find_condition

DEDICATED: Final = "dedicated"
POOLED: Final = "pooled"
# Before the first status.
_NONE: Final = "Unknown"


class ReportedCondition(NamedTuple):
    """A condition without its words; `placement` says whether the spec names a pool."""

    type: str
    status: str
    reason: str
    placement: str = DEDICATED


class ReportedConditions:
    """Tracks the conditions `Ready` and that of each kind of job, by resource."""

    def __init__(self) -> None:
        self._types = (READY, *(work.condition for work in user_kinds().values()))
        self._conditions: dict[Key, tuple[ReportedCondition, ...]] = {}
        # Most resources say the same: each combination is kept once.
        self._combinations: dict[tuple[ReportedCondition, ...], tuple[ReportedCondition, ...]] = {}

    def observe(self, body: Mapping[str, Any]) -> None:
        """Record a resource (with a valid status) that the watch reports."""
        status = body.get("status") or {}
        found = ((name, find_condition(status, name)) for name in self._types)
        placement = POOLED if pool_of(body) else DEDICATED
        reported = tuple(
            ReportedCondition(name, has.get("status", _NONE), has.get("reason", _NONE), placement)
            for name, has in found
        )
        self._conditions[key_of(body)] = self._combinations.setdefault(reported, reported)

    def find(self, key: Key, condition: str) -> ReportedCondition | None:
        """Return a condition of a resource, None where the watch has not reported it."""
        return next((each for each in self._conditions.get(key, ()) if each.type == condition), None)

    def forget(self, key: Key) -> None:
        """Record that a resource is gone."""
        self._conditions.pop(key, None)

    def counts(self) -> Counter[ReportedCondition]:
        """Return how many resources have each condition."""
        combinations = Counter(self._conditions.values())
        return sum(
            (Counter(dict.fromkeys(reported, number)) for reported, number in combinations.items()),
            Counter[ReportedCondition](),
        )
