"""One visit to a UserSchedule: make its CronJobs as the spec wants them and say so in its status."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from weakref import WeakValueDictionary

from catchup_contract.kinds import Job
from catchup_operator.job_template import JobTemplate
from catchup_operator.kube.client import Cluster
from catchup_operator.kube.resources import PODS, SCHEDULES
from catchup_operator.kube.transport import ApiError
from catchup_operator.manifests.cronjob import desired
from catchup_operator.reconcile.cronjobs import CronJobs, job_of
from catchup_operator.reconcile.status_writer import Teller
from catchup_operator.schedule.user_schedule import InvalidSpecError, UserSchedule
from catchup_operator.state.conflicts import Claim
from catchup_operator.state.drift import Key, key_of
from catchup_operator.state.memory import Memory
from catchup_operator.status import patches as status
from catchup_operator.status.conditions import READY, find
from catchup_operator.status.results import FinishedJob, conclude
from catchup_operator.status.validation import readable

# A quota or a policy: somebody must act first, and an edit of the resource is seen at once.
_REFUSED_RETRY_SECONDS: Final = 600.0
# A permission that comes back shows by nothing else.
_PERMISSION_RETRY_SECONDS: Final = 20.0

logger = logging.getLogger(__name__)

Status = dict[str, Any]


class RefusedError(Exception):
    """The API server will not take a CronJob until somebody changes something; the status says why."""

    def __init__(self, message: str, patch: Status | None, *, retry_seconds: float) -> None:
        super().__init__(message)
        self.patch = patch
        self.retry_seconds = retry_seconds


class Reconciler:
    """Everything that the operator does to a UserSchedule, one visit at a time for each."""

    def __init__(self, cluster: Cluster, template: JobTemplate, memory: Memory, now: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._template = template
        self._hash = template.hash
        self._ledger = memory.ledger
        self._cronjobs = CronJobs(cluster, memory.ledger)
        self._teller = Teller(cluster, now)
        self._claims = memory.claims
        self._roll = memory.roll
        self._next_due = memory.next_due
        self._unseen = memory.unseen
        self._now = now
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def is_settled(self, body: Mapping[str, Any]) -> bool:
        """Whether a UserSchedule that kopf shows us is as wanted at a glance, and remember it like that.

        Most are, at a restart and after our own writes: this is what they cost. A False asks for a visit.
        """
        if self._unseen.covers(body):
            return True
        body = readable(body)
        claim = self._claims.hold(body)
        if not status.is_current(body, self._hash) or self._claims.oldest_beside(claim) is not None:
            return False
        self._remember(body)
        return True

    async def visit(self, body: Mapping[str, Any]) -> None:
        """Reconcile a UserSchedule that kopf shows us and that is not settled.

        Raises:
            RefusedError: the API server refuses a CronJob, after the status was written.
            ApiError: for everything that is worth another try.
        """
        stored, body = body, readable(body)
        if await self._is_as_wanted(body, self._hash):
            self._remember(body)
            return
        made_from = (body.get("status") or {}).get("templateHash")
        if made_from and await self._is_as_wanted(body, made_from):
            self._remember(body)
            self._roll.add(key_of(body))
            return
        async with self._lock(*key_of(body)):
            await self._reconcile(stored, first=True)

    async def revisit(self, namespace: str, name: str, *, drifted: Key | None = None) -> None:
        """Reconcile by name: after a failure, or because a CronJob drifted, whatever the status says then.

        Raises:
            RefusedError: as `visit`, after the status was written.
            ApiError: for everything that is worth another try.
        """
        async with self._lock(namespace, name):
            body = await self._cluster.get(SCHEDULES, namespace, name)
            if body is not None and body["metadata"].get("deletionTimestamp"):
                body = None
            if drifted and (body is None or body["metadata"]["uid"] != self._ledger.owner_uid(drifted)):
                self._ledger.disown(drifted)  # it went with the resource that it belonged to
                return
            if body is None:
                return
            if drifted:
                logger.info("%s/%s: CronJob %s was changed or deleted; restoring it", namespace, name, drifted[1])
            elif await self._is_as_wanted(readable(body), self._hash):
                return
            await self._reconcile(body)

    def gone(self, body: Mapping[str, Any]) -> None:
        """Forget a UserSchedule that was deleted; a younger one of the same user takes over."""
        self._claims.release(key_of(body), body["metadata"]["uid"])
        self._next_due.forget(key_of(body))
        self._unseen.forget(key_of(body))

    def awaits(self, kind: str | None, body: Mapping[str, Any]) -> bool:
        """Whether an event of the watch is worth a call: most are not, and each costs."""
        return kind == "DELETED" or self._unseen.awaits(key_of(body))

    def shown(self, body: Mapping[str, Any]) -> None:
        """Note a UserSchedule as the watch shows it."""
        self._unseen.seen(readable(body))

    def overdue(self) -> list[Key]:
        """Return the UserSchedules whose status names a next digest that is over."""
        return self._next_due.passed(self._now())

    async def refresh(self, namespace: str, name: str) -> None:
        """Write the next runs of a UserSchedule whose status names one that is over. Raises ApiError."""
        async with self._lock(namespace, name):
            stored = await self._cluster.get(SCHEDULES, namespace, name)
            if stored is None:
                self._next_due.forget((namespace, name))
                return
            body = readable(stored)
            try:
                schedule = UserSchedule.from_body(body)
                patch = status.refreshed(body, schedule, digest_spread=self._template.digest_spread, now=self._now())
            except InvalidSpecError:
                patch = None
            if patch:
                await self._cluster.patch_status(stored, patch)
            self._next_due.note((namespace, name), patch or body.get("status") or {})

    async def record(self, finished: FinishedJob) -> None:
        """Write how a run ended into the status of its UserSchedule. Raises ApiError."""
        async with self._lock(finished.namespace, finished.schedule):
            stored = await self._cluster.get(SCHEDULES, finished.namespace, finished.schedule)
            if stored is None:
                return
            body = readable(stored)
            known = (body.get("status") or {}).get(finished.job.value) or {}
            if finished.cronjob is None or finished.cronjob != known.get("cronJobName"):
                return  # of an earlier resource of this name, or only dressed up as ours
            if status.is_recorded(known, finished.finished_at, finished.name):
                return
            pods = [
                pod
                async for page, _ in self._cluster.list_pages(
                    PODS, finished.namespace, selector=f"batch.kubernetes.io/controller-uid={finished.uid}"
                )
                for pod in page
            ]
            run = conclude(finished, pods, self._template.needs)
            try:
                schedule = UserSchedule.from_body(body)
            except InvalidSpecError:
                schedule = None
            patch = status.recorded(body, schedule, run, digest_spread=self._template.digest_spread, now=self._now())
            if patch:
                await self._teller.tell(stored, patch)
                if finished.job is Job.DIGEST:
                    self._next_due.note((finished.namespace, finished.schedule), patch)
                logger.info(
                    "%s/%s: %s run %s: %s%s",
                    finished.namespace,
                    finished.schedule,
                    run.job,
                    run.job_name,
                    run.result,
                    f" ({run.reason})" if run.reason else "",
                )

    async def _is_as_wanted(self, body: Mapping[str, Any], template_hash: str) -> bool:
        rival = await self._rival(body)
        if rival is not None:
            return status.is_known_conflict(body, template_hash, rival)
        return status.is_current(body, template_hash)

    async def _rival(self, body: Mapping[str, Any]) -> Claim | None:
        """Return the older UserSchedule of the same user, seen to be there, or None if this one is to be served."""
        claim = self._claims.hold(body)
        named = (body.get("status") or {}).get("conflictsWith")
        if named and self._claims.oldest_beside(claim) is None:
            # At the operator's start the older one may not have been shown yet.
            older = await self._cluster.get(SCHEDULES, *named.split("/", 1))
            if older is not None:
                self._claims.hold(older)
        while (oldest := self._claims.oldest_beside(claim)) is not None:
            found = await self._cluster.get(SCHEDULES, *oldest.key)
            if found is not None and found["metadata"]["uid"] == oldest.uid:
                return oldest
            self._claims.release(oldest.key, oldest.uid)
        return None

    async def _reconcile(self, stored: Mapping[str, Any], *, first: bool = False) -> None:
        body = readable(stored)
        try:
            patch = await self._make_so(body)
        except RefusedError as error:
            await self._teller.tell(stored, error.patch, first=first)
            raise
        if not patch:
            return
        self._unseen.writing(body)
        try:
            await self._teller.tell(stored, patch, first=first)
        except ApiError:
            self._unseen.forget(key_of(body))
            self._cronjobs.untold(body)
            raise
        namespace, name = key_of(body)
        ready = find(patch, READY)
        logger.info("%s/%s: generation %d: %s", namespace, name, body["metadata"]["generation"], ready["reason"])

    async def _make_so(self, body: Mapping[str, Any]) -> Status | None:
        try:
            schedule = UserSchedule.from_body(body)
        except InvalidSpecError as error:
            return status.not_ready(body, status.INVALID_SPEC, str(error), now=self._now())
        rival = await self._rival(body)
        if rival is not None:
            logger.info("%s/%s: not served, since %s is older", schedule.namespace, schedule.name, rival)
            schedule = replace(schedule, suspend=True)
        now = self._now()
        since = status.digest_since(body, schedule, now=now)
        cronjobs = {}
        for manifest in desired(schedule, self._template, digest_since=since):
            try:
                cronjobs[job_of(manifest)] = await self._cronjobs.make_so(body, manifest)
            except ApiError as error:
                if not error.refused:
                    raise
                raise self._refusal(body, error) from None
        patch = status.reconciled(
            body,
            schedule,
            cronjobs,
            template_hash=self._hash,
            digest_since=since,
            digest_spread=self._template.digest_spread,
            now=now,
            rival=rival,
        )
        self._next_due.note(key_of(body), patch or body.get("status") or {})
        return patch

    def _refusal(self, body: Mapping[str, Any], error: ApiError) -> RefusedError:
        missing = error.missing_permission
        if missing is None:
            message = (
                f"a CronJob cannot be made: {error}; tried again every ten minutes, and at once at an edit of the spec"
            )
            patch = status.not_ready(body, status.REFUSED, message, now=self._now())
            return RefusedError(message, patch, retry_seconds=_REFUSED_RETRY_SECONDS)
        message = f"the operator may not {missing} in this namespace; see the Role in its chart. {error}"
        patch = status.not_ready(body, status.PERMISSION, message, now=self._now())
        return RefusedError(message, patch, retry_seconds=_PERMISSION_RETRY_SECONDS)

    def _remember(self, body: Mapping[str, Any]) -> None:
        self._next_due.note(key_of(body), body["status"])
        self._cronjobs.remember(body)

    def _lock(self, namespace: str, name: str) -> asyncio.Lock:
        return self._locks.setdefault((namespace, name), asyncio.Lock())
