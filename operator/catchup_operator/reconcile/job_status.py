"""Updates of a status between reconciliations: results of Jobs, and next runs that have passed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from catchup_operator.job_template import JobTemplate
from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.resources import PODS, SCHEDULES
from catchup_operator.manifests.names import Key
from catchup_operator.reconcile.status_writer import StatusWriter
from catchup_operator.schedule.fields import InvalidSpecError
from catchup_operator.schedule.user_schedule import UserSchedule
from catchup_operator.state.statuses import Statuses
from catchup_operator.status import patches
from catchup_operator.status.job_section import section_of
from catchup_operator.status.last_run import is_recorded
from catchup_operator.status.results import FinishedJob, result_of
from catchup_operator.status.validation import with_valid_status

logger = logging.getLogger(__name__)


class JobStatusUpdater:
    """Writes the sections of the kinds of jobs."""

    def __init__(
        self,
        client: KubeClient,
        template: JobTemplate,
        *,
        statuses: Statuses,
        writer: StatusWriter,
        now: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._template = template
        self._statuses = statuses
        self._writer = writer
        self._now = now

    async def record(self, finished: FinishedJob) -> None:
        """Write the result of a Job into the status of its UserSchedule. Raises ApiError."""
        key = (finished.namespace, finished.schedule)
        async with self._writer.lock(key):
            stored = await self._client.get(SCHEDULES, *key)
            if stored is None:
                return
            body = with_valid_status(stored)
            section = section_of(body, finished.kind)
            if finished.cronjob_uid is None or finished.cronjob_uid != section.get("cronJobUID"):
                return  # of an earlier resource of this name, or a Job that only carries the labels
            if is_recorded(section, finished.finished_at, finished.name):
                return
            selector = f"batch.kubernetes.io/controller-uid={finished.uid}"
            pods = [pod async for pod in self._client.list_items(PODS, finished.namespace, selector=selector)]
            result = result_of(finished, pods, self._template.required_objects)
            patch = patches.recorded(body, self._schedule(body), result, now=self._now())
            if patch:
                await self._writer.write(stored, patch)
                self._statuses.note_next_runs(key, patch)
                reason = f" ({result.reason})" if result.reason else ""
                logger.info("%s/%s: %s run %s: %s%s", *key, result.kind, result.job_name, result.result, reason)

    def overdue(self) -> set[Key]:
        """Return the UserSchedules whose status names a next run that has passed."""
        return self._statuses.overdue(self._now())

    async def refresh(self, key: Key) -> None:
        """Replace the next runs of a UserSchedule that have passed. Raises ApiError."""
        async with self._writer.lock(key):
            stored = await self._client.get(SCHEDULES, *key)
            if stored is None:
                self._statuses.forget(key)
                return
            body = with_valid_status(stored)
            schedule = self._schedule(body)
            patch = None if schedule is None else patches.refreshed(body, schedule, now=self._now())
            await self._writer.write(stored, patch)
            self._statuses.note_next_runs(key, patch or body.get("status") or {})

    def _schedule(self, body: Mapping[str, Any]) -> UserSchedule | None:
        """Return the spec, or None where it is invalid."""
        try:
            return UserSchedule.from_body(body, digest_spread=self._template.digest_spread)
        except InvalidSpecError:
            return None
