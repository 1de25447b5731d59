"""What is known of statuses: which were written and not observed yet, and when runs that they name must have ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from catchup_contract.kinds import Kind, user_kinds
from catchup_contract.timestamps import parse_utc
from catchup_operator.manifests.names import Key, key_of
from catchup_operator.schedule.user_schedule import pool_of
from catchup_operator.status.absence import overdue_at
from catchup_operator.status.job_section import SUSPENDED_UNTIL, section_of
from catchup_operator.status.results import FinishedJob, JobResult


class KnownStatuses:
    """Tracks statuses by the resource they are of.

    An event that is older than the operator's own write must not be reconciled again. And a status that names a
    run that must have ended says so, where no Job told of its end (the cluster was down, its node died).
    """

    def __init__(self, deadlines: Mapping[Kind, timedelta] | None = None) -> None:
        """Remember nothing; `deadlines` are those of the Jobs of each kind, where the installation chooses them."""
        self._deadlines = {kind: timedelta(seconds=kind.deadlines.active) for kind in user_kinds()} | dict(
            deadlines or {}
        )
        self._unobserved: dict[Key, tuple[str, int]] = {}
        self._next_runs: dict[Kind, dict[Key, datetime]] = {}
        # The time and a hash of the name of the last Job, as integers: there are two for each resource.
        self._last_runs: dict[Kind, dict[Key, tuple[int, int]]] = {kind: {} for kind in user_kinds()}
        # The hash of the name of the last Job that had nothing to add, as the status says; and those that none says.
        self._idle: dict[Kind, dict[Key, int]] = {kind: {} for kind in user_kinds()}
        self._unwritten_idle: dict[Key, dict[Kind, str]] = {}
        self._known: set[Key] = set()
        self._pools: dict[Key, tuple[str, str]] = {}
        self._resumptions: dict[Key, datetime] = {}

    def write_started(self, body: Mapping[str, Any]) -> None:
        """Record that a status of this generation is about to be written."""
        self._unobserved[key_of(body)] = (body["metadata"]["uid"], body["metadata"]["generation"])

    def write_failed(self, key: Key) -> None:
        """Record that the status was not written."""
        self._unobserved.pop(key, None)

    def observe(self, body: Mapping[str, Any]) -> None:
        """Record a resource that the watch reports."""
        written = self._unobserved.get(key_of(body))
        if written and (body.get("status") or {}).get("observedGeneration", 0) >= written[1]:
            del self._unobserved[key_of(body)]

    def is_unobserved(self, key: Key) -> bool:
        """Whether a status of this resource was written and not observed yet."""
        return key in self._unobserved

    def is_written(self, body: Mapping[str, Any]) -> bool:
        """Whether such a status is of this very generation."""
        return self._unobserved.get(key_of(body)) == (body["metadata"]["uid"], body["metadata"]["generation"])

    def note_next_runs(self, key: Key, status: Mapping[str, Any]) -> None:
        """Record the next runs and the end of a suspension in a status, or in a patch of it."""
        if SUSPENDED_UNTIL in status:
            until = status[SUSPENDED_UNTIL]
            self._resumptions.pop(key, None)
            if until is not None:
                self._resumptions[key] = parse_utc(until)
        self.note_due(key, status)

    def note_due(self, key: Key, status: Mapping[str, Any]) -> None:
        """Record the next runs in a status, or in a patch of it."""
        for kind, work in user_kinds().items():
            section = status.get(work.status_section)
            if section is None or "nextRunTimes" not in section:
                continue
            next_runs = self._next_runs.setdefault(kind, {})
            at = overdue_at(kind, section, self._deadlines[kind])
            if at is not None:
                next_runs[key] = at
            else:
                next_runs.pop(key, None)

    def note_overdue_written(self, key: Key, kinds: Iterable[Kind]) -> None:
        """Record that a status says of these kinds that their runs are overdue, until it names the next ones."""
        for kind in kinds:
            self._next_runs.get(kind, {}).pop(key, None)

    def resumable(self, now: datetime) -> list[Key]:
        """Return the resources whose suspension has ended, at `now` (aware), and whose status does not say so; once."""
        ended = [key for key, until in self._resumptions.items() if until <= now]
        for key in ended:
            del self._resumptions[key]
        return ended

    def forget_next_runs(self, key: Key) -> None:
        """Record that the status names no next run that is to be replaced."""
        for next_runs in self._next_runs.values():
            next_runs.pop(key, None)

    def note(self, body: Mapping[str, Any], now: datetime) -> None:  # noqa: ARG002 - pools need it
        """Record a resource (with a valid status) that the watch reports, at `now` (aware)."""
        self.note_last_runs(key_of(body), body.get("status") or {})
        if pool := pool_of(body):
            self._pools[key_of(body)] = (pool, body["metadata"]["uid"])
        else:
            self._pools.pop(key_of(body), None)

    def members_of(self, pool: Key) -> dict[Key, str]:
        """Return the resources whose spec names a SchedulePool, with their uids."""
        return {key: uid for key, (name, uid) in self._pools.items() if (key[0], name) == pool}

    def members_in(self, namespace: str) -> dict[Key, str]:
        """Return the resources of a namespace whose spec names any SchedulePool, with their uids."""
        return {key: uid for key, (_, uid) in self._pools.items() if key[0] == namespace}

    def note_last_runs(self, key: Key, status: Mapping[str, Any]) -> None:
        """Record the last runs in a status, or in a patch of it; the resource is known from now on."""
        self._known.add(key)
        for kind, work in user_kinds().items():
            section = status.get(work.status_section) or {}
            if "lastRunTime" in section:
                ended = int(parse_utc(section["lastRunTime"]).timestamp())
                self._last_runs[kind][key] = (ended, hash(section.get("lastJobName")))
            if (idle := section.get("lastIdleJobName")) is not None:
                self._idle[kind][key] = hash(idle)
                if self._unwritten_idle.get(key, {}).get(kind) == idle:
                    del self._unwritten_idle[key][kind]

    def note_finished(self, key: Key, finished: FinishedJob) -> None:
        """Record that a Job has ended; a result counts by itself here."""

    def note_result(self, key: Key, result: JobResult) -> None:
        """Record what a Job's pods say; the status has all of it here."""

    def hold(self, key: Key, result: JobResult) -> bool:  # noqa: ARG002 - pools need it
        """Keep a result that changes no condition, to be written with others; return False where it is written now."""
        return False

    def take_held(self, key: Key, kind: Kind) -> list[JobResult]:  # noqa: ARG002 - pools need it
        """Return the results of other kinds that were kept."""
        return []

    def note_idle(self, key: Key, kind: Kind, job_name: str) -> None:
        """Record that a Job had nothing to add to the status, which is to say so with its next change."""
        self._unwritten_idle.setdefault(key, {})[kind] = job_name

    def unwritten_idle(self, key: Key) -> Mapping[Kind, str]:
        """Return by kind the last Job that had nothing to add, where the status does not say so."""
        return self._unwritten_idle.get(key, {})

    def is_recorded(self, key: Key, finished: FinishedJob) -> bool | None:
        """Whether the status has the result of a Job or a later one; None while the resource is not known.

        False is no promise: the result may be one that no status needs.
        """
        if key not in self._known:
            return None
        if self._idle[finished.kind].get(key) == hash(finished.name):
            return True
        last = self._last_runs[finished.kind].get(key)
        ended = int(finished.finished_at.timestamp())
        return last is not None and (ended < last[0] or last == (ended, hash(finished.name)))

    def overdue_kinds(self, body: Mapping[str, Any], now: datetime) -> list[Kind]:
        """Return the kinds of which the status names a run that must have ended, at `now` (aware)."""
        due = ((kind, overdue_at(kind, section_of(body, kind), deadline)) for kind, deadline in self._deadlines.items())
        return [kind for kind, at in due if at is not None and at <= now]

    def overdue(self, now: datetime) -> set[Key]:
        """Return the resources whose status names a run that must have ended, at `now` (aware)."""
        return {key for next_runs in self._next_runs.values() for key, at in next_runs.items() if at <= now}

    def forget(self, key: Key) -> None:
        """Record that a resource is gone."""
        self._unobserved.pop(key, None)
        self.forget_next_runs(key)
        self._resumptions.pop(key, None)
        self._known.discard(key)
        self._pools.pop(key, None)
        self._unwritten_idle.pop(key, None)
        for kind in self._last_runs:
            self._last_runs[kind].pop(key, None)
            self._idle[kind].pop(key, None)
