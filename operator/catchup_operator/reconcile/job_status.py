"""Updates of a status between reconciliations: results of Jobs, and next runs that have passed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import filterfalse
from typing import Any, Final

from catchup_contract.api import LABEL_JOB
from catchup_contract.kinds import Kind
from catchup_contract.timestamps import parse_utc
from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.resources import EVENTS, JOBS, PODS
from catchup_operator.manifests.by_hand import by_hand_name
from catchup_operator.manifests.names import Key, key_of
from catchup_operator.reconcile.placements import Placement
from catchup_operator.reconcile.status_writer import StatusWriter
from catchup_operator.state.deletion import is_deleted
from catchup_operator.state.known_statuses import KnownStatuses
from catchup_operator.status.absence import absence
from catchup_operator.status.conditions import Condition, find_condition
from catchup_operator.status.job_section import section_of
from catchup_operator.status.last_run import is_recorded, is_repetition
from catchup_operator.status.patches import merged, with_idle
from catchup_operator.status.results import Cause, FinishedJob, JobResult, end_of, result_of
from catchup_operator.status.validation import with_valid_status
from catchup_operator.status.waiting import (
    WaitingJob,
    cause_of,
    is_superseded,
    known_cause,
    since_last_pod,
    suspended,
    waiting_pods,
)

# A Job with shards has many pods, which wait for the same in general.
_PODS_ASKED: Final = 3
"""Of how many waiting pods of a Job the Events are read."""

logger = logging.getLogger(__name__)


class JobStatusUpdater:
    """Writes the sections of the kinds of jobs, for the resources of one placement.

    `required_objects` are what a namespace must hold for a pod to start, e.g. `Secret database`.
    """

    def __init__(
        self,
        client: KubeClient,
        placement: Placement,
        *,
        required_objects: Sequence[str],
        statuses: KnownStatuses,
        writer: StatusWriter,
        now: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._placement = placement
        self._owner = placement.owner
        self._required_objects = required_objects
        self._statuses = statuses
        self._writer = writer
        self._now = now

    async def record(self, finished: FinishedJob) -> None:
        """Write the result of a Job into the status of its owner. Raises ApiError."""
        key = (finished.namespace, finished.owner_name)
        async with self._writer.lock(key):
            if self._statuses.is_recorded(key, finished):
                return  # a later one has come meanwhile
            stored = await self._client.get(self._owner.plural, *key)
            if stored is None:
                return
            body = with_valid_status(stored)
            section = section_of(body, finished.kind)
            if not _is_ours(body, finished):
                return  # of an earlier resource of this name, or a Job that only carries the labels
            if is_recorded(section, finished.finished_at, finished.name):
                return
            pods = await self._pods_of(finished.namespace, finished.uid)
            cause = known_cause(body, finished.kind, finished.name) if finished.failure else None
            if finished.failure and cause is None and not pods:
                cause = await self._cause_of(finished, pods)
            result = result_of(finished, pods, self._required_objects, cause=cause)
            self._statuses.note_result(key, result)
            if is_repetition(section, result):
                self._statuses.note_idle(key, result.kind, result.job_name)
            patch = self._placement.recorded(body, result, now=self._now())
            if patch and not _changes_conditions(body, patch) and self._statuses.hold(key, result):
                self._statuses.note_last_runs(key, patch)
                return
            if patch:
                patch = self._with_held(body, result, key) or patch
            written = with_idle(body, patch, self._statuses.unwritten_idle(key))
            if written:
                await self._writer.write(stored, written)
                self._statuses.note_next_runs(key, written)
                self._statuses.note_last_runs(key, written)
                reason = f" ({result.reason})" if result.reason else ""
                logger.info("%s/%s: %s run %s: %s%s", *key, result.kind, result.job_name, result.result, reason)

    def _with_held(self, body: Mapping[str, Any], result: JobResult, key: Key) -> dict[str, Any]:
        """Return the patch for a result and those of other kinds that waited for it."""
        patch: dict[str, Any] = {}
        for each in (*self._statuses.take_held(key, result.kind), result):
            known = {**body, "status": merged(body.get("status") or {}, patch)}
            patch = merged(patch, self._placement.recorded(known, each, now=self._now()) or {}, keep_nulls=True)
        return patch

    async def explain(self, job: WaitingJob) -> bool:
        """Say in the status why a pod of a Job does not start; return whether it says so. Raises ApiError."""
        if job.is_suspended:
            cause: Cause | None = suspended(await self._client.managers_of(JOBS, job.namespace, job.name))
        else:
            cause = await self._cause_of(job, await self._pods_of(job.namespace, job.uid))
        if cause is None:
            return False
        key = (job.namespace, job.owner_name)
        async with self._writer.lock(key):
            stored = await self._client.get(self._owner.plural, *key)
            body = with_valid_status(stored) if stored is not None else {}
            if not _is_ours(body, job) or is_superseded(section_of(body, job.kind), job):
                return False
            patch = self._placement.waiting(body, job, cause, now=self._now())
            if stored is not None and patch:
                await self._writer.write(stored, patch)
                why = (job.name, cause.reason, cause.message)
                logger.info("%s/%s: a pod of Job %s has not started: %s: %s", *key, *why)
        return True

    async def note_started(self, job: WaitingJob) -> None:
        """Take back what `explain` said. Raises ApiError."""
        key = (job.namespace, job.owner_name)
        async with self._writer.lock(key):
            stored = await self._client.get(self._owner.plural, *key)
            if stored is not None:
                body = with_valid_status(stored)
                await self._writer.write(stored, self._placement.started(body, job, now=self._now()))

    async def _pods_of(self, namespace: str, job_uid: str) -> list[dict[str, Any]]:
        selector = f"batch.kubernetes.io/controller-uid={job_uid}"
        return [pod async for pod in self._client.list_items(PODS, namespace, selector=selector)]

    async def _cause_of(self, job: FinishedJob | WaitingJob, pods: Sequence[Mapping[str, Any]]) -> Cause | None:
        if (cause := cause_of(pods, (), now=self._now())) is not None:
            return cause
        events = since_last_pod(pods, await self._warnings(job.namespace, job.uid))
        for pod in waiting_pods(pods)[:_PODS_ASKED]:
            events += await self._warnings(job.namespace, pod["metadata"]["uid"])
        return cause_of(pods, events, now=self._now())

    async def _warnings(self, namespace: str, uid: str) -> list[dict[str, Any]]:
        warnings = self._client.list_items(EVENTS, namespace, fields=f"involvedObject.uid={uid},type=Warning")
        return [event async for event in warnings]

    def overdue(self) -> set[Key]:
        """Return the resources of which runs must have ended."""
        return self._statuses.overdue(self._now())

    async def refresh(self, key: Key) -> None:
        """Tell of runs of a resource that must have ended and have not. Raises ApiError.

        Also where it is not Ready: its CronJobs of before go on.
        """
        async with self._writer.lock(key):
            stored = await self._client.get(self._owner.plural, *key)
            if stored is None:
                self._statuses.forget(key)
                return
            body = with_valid_status(stored)
            if is_deleted(stored):
                self._statuses.forget_next_runs(key)  # its CronJobs are suspended
                return
            absent = await self._absent(body)
            patch = self._placement.refreshed(body, absent, now=self._now())
            if patch:
                await self._writer.write(stored, patch)
            if patch and absent:
                logger.warning("%s/%s: %s", *key, "; ".join(found.message for found in absent.values()))
            self._statuses.note_next_runs(key, body.get("status") or {})
            self._statuses.note_overdue_written(key, absent)
            self._statuses.note_next_runs(key, patch or {})

    async def _absent(self, body: Mapping[str, Any]) -> dict[Kind, Condition]:
        """Return the conditions of the kinds whose runs are overdue, from their Jobs and pods."""
        absent = {}
        namespace, name = key_of(body)
        for kind in self._statuses.overdue_kinds(body, self._now()):
            section = section_of(body, kind)
            if "cronJobName" not in section:
                continue  # a pool serves it
            selector = f"{self._owner.label}={name},{LABEL_JOB}={kind}"
            jobs = [job async for job in self._client.list_items(JOBS, namespace, selector=selector)]
            if self._is_unrecorded(section, jobs):
                continue
            running = sorted(filterfalse(end_of, jobs), key=lambda job: str(job["metadata"].get("creationTimestamp")))
            pods = await self._pods_of(namespace, running[0]["metadata"]["uid"]) if running else []
            created = str(body["metadata"].get("creationTimestamp"))
            absent[kind] = absence(kind, section, created=created, job=next(iter(running), None), pods=pods)
        return absent

    @staticmethod
    def _is_unrecorded(section: Mapping[str, Any], jobs: Iterable[Mapping[str, Any]]) -> bool:
        """Whether a result is to be recorded soon, as after a time without the operator."""
        if not section.get("nextRunTimes"):
            return False
        due = parse_utc(section["nextRunTimes"][0])
        ended = (finished for finished in map(FinishedJob.from_object, jobs) if finished is not None)
        return any(
            job.cronjob_uid == section.get("cronJobUID")
            and job.finished_at >= due
            and not is_recorded(section, job.finished_at, job.name)
            for job in ended
        )


def _changes_conditions(body: Mapping[str, Any], patch: Mapping[str, Any]) -> bool:
    """Whether a patch says something else of a condition than another number in its message."""
    return any(
        (before := find_condition(body.get("status") or {}, each["type"])).get("status") != each["status"]
        or before.get("reason") != each["reason"]
        for each in patch.get("conditions", ())
    )


def _is_ours(body: Mapping[str, Any], job: FinishedJob | WaitingJob) -> bool:
    """Whether a Job is of the CronJob of its kind, or of the last request by hand that the status names."""
    if job.cronjob_uid is None:
        return False
    section = section_of(body, job.kind)
    if job.cronjob_uid == section.get("cronJobUID"):
        return True
    taken = section.get("requestedAt")
    return taken is not None and job.cronjob_name == by_hand_name(body["metadata"], job.kind, parse_utc(taken))
