"""Jobs of which a pod does not start, and when to look next why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from catchup_operator.status.waiting import WaitingJob, is_ending

# With a look every 30 seconds the cause is told within a minute.
_FIRST_LOOK: Final = timedelta(seconds=20)
"""How long after its start a Job without a pod is looked at."""
_LAST_PAUSE: Final = timedelta(minutes=10)
"""The longest pause between two looks at a Job without a pod."""


@dataclass(slots=True)
class _Look:
    """When a Job is looked at next; `at` is None until the next round, after which its first pause begins."""

    job: WaitingJob
    at: datetime | None
    pause: timedelta
    explained: bool = False


class WaitingJobs:
    """Tracks them by uid. A look costs requests: the pauses double up to ten minutes."""

    def __init__(self) -> None:
        self._looks: dict[str, _Look] = {}
        # Of those that waited.
        self._ending: set[str] = set()

    def observe(self, item: Mapping[str, Any]) -> WaitingJob | None:
        """Record a Job; return it if the status says why it waited, and a pod of it has started.

        What is said of a Job that ends is left to its result.
        """
        job = WaitingJob.from_object(item)
        if job is None:
            uid = item["metadata"]["uid"]
            waited = self._looks.pop(uid, None)
            if waited is not None and is_ending(item):
                self._ending.add(uid)
                return None
            return waited.job if waited is not None and waited.explained else None
        look = self._looks.get(job.uid)
        if look is None:
            # The next attempt begins after a pause of the Job controller.
            at = None if job.failed else job.created_at + _FIRST_LOOK
            self._looks[job.uid] = _Look(job, at, _FIRST_LOOK)
        elif look.job != job:
            look.job, look.at, look.pause = job, None, _FIRST_LOOK
        return None

    def forget(self, item: Mapping[str, Any]) -> WaitingJob | None:
        """Record that a Job is gone; return as `observe`."""
        self._ending.discard(item["metadata"]["uid"])
        look = self._looks.pop(item["metadata"]["uid"], None)
        return look.job if look and look.explained else None

    def keep(self, uids: set[str]) -> None:
        """Record that no other Jobs than these exist."""
        self._looks = {uid: look for uid, look in self._looks.items() if uid in uids}
        self._ending &= uids

    def due(self, now: datetime) -> list[WaitingJob]:
        """Return the Jobs to look at, at `now` (aware)."""
        due = [look for look in self._looks.values() if look.at is not None and look.at <= now]
        for look in self._looks.values():
            look.at = look.at or now + _FIRST_LOOK
        for look in due:
            look.at, look.pause = now + look.pause, min(2 * look.pause, _LAST_PAUSE)
        return [look.job for look in due]

    def is_waiting(self, job: WaitingJob) -> bool:
        """Whether the Job still waits."""
        return job.uid in self._looks

    def is_ending(self, job: WaitingJob) -> bool:
        """Whether the Job that waited ends without a start: what is said of it is left to its result."""
        return job.uid in self._ending

    def note_explained(self, job: WaitingJob) -> None:
        """Record that the status says why the Job waits."""
        if job.uid in self._looks:
            self._looks[job.uid].explained = True
