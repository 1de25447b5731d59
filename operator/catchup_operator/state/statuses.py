"""What is known of statuses: which were written and not observed yet, and when the next runs that they name are due."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from catchup_contract.kinds import Kind, user_kinds
from catchup_contract.timestamps import parse_utc
from catchup_operator.manifests.names import Key, key_of
from catchup_operator.schedule.timetable import TIMETABLES
from catchup_operator.status.job_section import parse_local
from catchup_operator.status.results import FinishedJob

# Beyond the longest deadline (15 minutes) of a kind with due dates: its own run then writes the next runs.
_GRACE: Final = timedelta(minutes=20)


class Statuses:
    """Tracks statuses by UserSchedule.

    An event that is older than the operator's own write must not be reconciled again. And a status that names a next
    run that has passed must be refreshed, where no Job came that would do it (the cluster was down, its pod never
    started).
    """

    def __init__(self) -> None:
        self._unobserved: dict[Key, tuple[str, int]] = {}
        self._next_runs: dict[Kind, dict[Key, datetime]] = {}
        # The time and a hash of the name of the last Job, as integers: there are two for each UserSchedule.
        self._last_runs: dict[Kind, dict[Key, tuple[int, int]]] = {kind: {} for kind in user_kinds()}
        self._known: set[Key] = set()

    def write_started(self, body: Mapping[str, Any]) -> None:
        """Record that a status of this generation is about to be written."""
        self._unobserved[key_of(body)] = (body["metadata"]["uid"], body["metadata"]["generation"])

    def write_failed(self, key: Key) -> None:
        """Record that the status was not written."""
        self._unobserved.pop(key, None)

    def observe(self, body: Mapping[str, Any]) -> None:
        """Record a UserSchedule that the watch reports."""
        written = self._unobserved.get(key_of(body))
        if written and (body.get("status") or {}).get("observedGeneration", 0) >= written[1]:
            del self._unobserved[key_of(body)]

    def is_unobserved(self, key: Key) -> bool:
        """Whether a status of this UserSchedule was written and not observed yet."""
        return key in self._unobserved

    def is_written(self, body: Mapping[str, Any]) -> bool:
        """Whether such a status is of this very generation."""
        return self._unobserved.get(key_of(body)) == (body["metadata"]["uid"], body["metadata"]["generation"])

    def note_next_runs(self, key: Key, status: Mapping[str, Any]) -> None:
        """Record the next runs in a status, or in a patch of it, of the kinds with due dates."""
        for kind, work in user_kinds().items():
            if not TIMETABLES[work.rule].has_due_dates or work.status_section not in status:
                continue
            next_runs = self._next_runs.setdefault(kind, {})
            texts = (status[work.status_section] or {}).get("nextRuns")
            if texts:
                next_runs[key] = parse_local(texts[0])
            else:
                next_runs.pop(key, None)

    def forget_next_runs(self, key: Key) -> None:
        """Record that the status names no next run that is to be replaced."""
        for next_runs in self._next_runs.values():
            next_runs.pop(key, None)

    def note_last_runs(self, key: Key, status: Mapping[str, Any]) -> None:
        """Record the last runs in a status, or in a patch of it; the UserSchedule is known from now on."""
        self._known.add(key)
        for kind, work in user_kinds().items():
            section = status.get(work.status_section) or {}
            if "lastRunTime" in section:
                ended = int(parse_utc(section["lastRunTime"]).timestamp())
                self._last_runs[kind][key] = (ended, hash(section.get("lastJobName")))

    def is_recorded(self, key: Key, finished: FinishedJob) -> bool | None:
        """Whether the status has the result of a Job or a later one; None while the UserSchedule is not known.

        False is no promise: the result may be one that no status needs.
        """
        if key not in self._known:
            return None
        last = self._last_runs[finished.kind].get(key)
        ended = int(finished.finished_at.timestamp())
        return last is not None and (ended < last[0] or last == (ended, hash(finished.name)))

    def overdue(self, now: datetime) -> set[Key]:
        """Return the UserSchedules whose status names a next run that has passed, at `now` (aware)."""
        return {key for next_runs in self._next_runs.values() for key, due in next_runs.items() if due + _GRACE < now}

    def forget(self, key: Key) -> None:
        """Record that a UserSchedule is gone."""
        self._unobserved.pop(key, None)
        self.forget_next_runs(key)
        self._known.discard(key)
        for last_runs in self._last_runs.values():
            last_runs.pop(key, None)
