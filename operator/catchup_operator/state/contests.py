"""Contests: CronJobs that another writer changes back again and again. Times are seconds of a monotonic clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from catchup_operator.manifests.names import Key

# Long enough for the watch to report the operator's own apply before a difference counts as drift.
REPAIR_DELAY_SECONDS: Final = 1.0
"""The delay before drift of a CronJob is repaired."""
REPAIRS_AT_ONCE: Final = 4
"""Repairs of a CronJob before it counts as contested; then the delay doubles with each one."""
PEACE_SECONDS: Final = 300.0
"""The time without a repair after which a contest is over."""
_DOUBLINGS_MAX: Final = 6
"""How often the delay before a repair of a contested CronJob is doubled at most."""


@dataclass(slots=True)
class _Contest:
    owner: Key
    repairs: int
    repaired_at: float


class Contests:
    """Counts the repairs of each CronJob until there was peace."""

    def __init__(self) -> None:
        self._contests: dict[Key, _Contest] = {}
        self._changes: dict[Key, str] = {}

    def note_change(self, cronjob: Key, change: str) -> None:
        """Record how a CronJob was changed that is about to be repaired, e.g. `kubectl-edit sets spec.suspend`."""
        self._changes[cronjob] = change

    def repaired(self, cronjob: Key, owner: Key, at: float) -> None:
        """Record that a CronJob of a resource is repaired."""
        contest = self._contests.setdefault(cronjob, _Contest(owner, 0, at))
        contest.repairs += 1
        contest.repaired_at = at

    def delay(self, cronjob: Key) -> float:
        """Return how long the next repair waits."""
        contest = self._contests.get(cronjob)
        doublings = max(0, contest.repairs - REPAIRS_AT_ONCE) if contest else 0
        return float(REPAIR_DELAY_SECONDS * 2 ** min(doublings, _DOUBLINGS_MAX))

    def contested_by(self, cronjob: Key) -> str | None:
        """Return how a CronJob is changed back, if its repairs are a contest."""
        contest = self._contests.get(cronjob)
        if contest is None or contest.repairs <= REPAIRS_AT_ONCE:
            return None
        return self._changes.get(cronjob, "somebody changes it")

    def number_contested(self) -> int:
        """Return how many CronJobs are contested."""
        return sum(self.contested_by(cronjob) is not None for cronjob in self._contests)

    def end_quiet(self, at: float) -> set[Key]:
        """Forget contests without a repair for `PEACE_SECONDS`; return the resources whose contests ended."""
        over = {key: contest for key, contest in self._contests.items() if at - contest.repaired_at >= PEACE_SECONDS}
        ended = {contest.owner for key, contest in over.items() if self.contested_by(key)}
        for key in over:
            del self._contests[key]
            self._changes.pop(key, None)
        return ended
