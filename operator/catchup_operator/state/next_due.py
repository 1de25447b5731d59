"""When the digest that a status calls the next one falls due, so that the status can be put right after it did.

Mostly the digest's own run does that: its result is written anyway, and the next times with it. Only where no run
came (the cluster was down, the pod never started) does the operator write once for the digest that was missed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from catchup_contract.kinds import Job
from catchup_operator.schedule.cadence import instant_of
from catchup_operator.state.drift import Key

# The digest's run has its deadline of 15 minutes to end in.
_GRACE: Final = timedelta(minutes=20)


class NextDue:
    """The due time that each status names, by UserSchedule."""

    def __init__(self) -> None:
        self._due: dict[Key, datetime] = {}

    def note(self, key: Key, status: Mapping[str, Any]) -> None:
        """Note what a status says, or will say."""
        runs = (status.get(Job.DIGEST.value) or {}).get("nextRuns")
        if runs:
            self._due[key] = instant_of(runs[0])
        else:
            self._due.pop(key, None)

    def forget(self, key: Key) -> None:
        """Note that a UserSchedule is gone."""
        self._due.pop(key, None)

    def passed(self, now: datetime) -> list[Key]:
        """Return the UserSchedules whose status names a time that is over."""
        return [key for key, due in self._due.items() if due + _GRACE < now]
