"""Writes what ticks of pools tell of members in trouble into the members' statuses, within a budget."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from catchup_contract.kinds import Kind
from catchup_contract.trouble import TroublePage
from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.resources import SCHEDULES
from catchup_operator.manifests.names import Key
from catchup_operator.reconcile.placement_parts import PlacementParts
from catchup_operator.reconcile.work_queue import WorkQueue
from catchup_operator.schedule.fields import InvalidSpecError
from catchup_operator.schedule.user_schedule import UserSchedule
from catchup_operator.state.member_troubles import MemberTroubles
from catchup_operator.status import member_status
from catchup_operator.status.validation import with_valid_status

logger = logging.getLogger(__name__)


class MemberStatuses:
    """Writes the conditions of members; the Event of a new trouble counts as a write of the budget.

    Args:
        client: the client.
        members: the parts that serve UserSchedules.
        queue: repeats writes that fail.
        per_second: the budget of writes.
        now: a clock.
    """

    def __init__(
        self,
        client: KubeClient,
        members: PlacementParts,
        *,
        queue: WorkQueue,
        per_second: float,
        now: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._members = members
        self._queue = queue
        self._pause = 1 / per_second
        self._now = now
        self._troubles = MemberTroubles(members.state.reported)
        self._not_empty = asyncio.Event()

    def take_page(self, pool: Key, kind: Kind, page: TroublePage) -> None:
        """Take a page of the members in trouble, as a tick of a pool says."""
        self._troubles.compare(kind, page, self._members.state.statuses.members_of(pool))
        if self._troubles.waiting:
            self._not_empty.set()
            logger.info("%s/%s: %d statuses of members are to be written", *pool, self._troubles.waiting)

    async def run(self) -> None:
        """Write what is to be written, until cancelled."""
        while True:
            await self._not_empty.wait()
            key = self._troubles.take()
            if not self._troubles.waiting:
                self._not_empty.clear()
            wanted = self._troubles.wanted(key)
            self._queue.add(f"tell {key[0]}/{key[1]}", partial(self._write, key))
            await asyncio.sleep(self._pause * (1 + sum(reason is not None for reason in wanted.values())))

    async def _write(self, key: Key) -> None:
        """Write what is wanted by now. Raises ApiError, NotHeldError."""
        async with self._members.writer.lock(key):
            wanted = self._troubles.wanted(key)
            stored = await self._client.get(SCHEDULES, *key) if wanted else None
            if stored is not None:
                await self._members.writer.write(stored, self._patch(stored, wanted))
            self._troubles.note_written(key, wanted)

    def _patch(self, stored: dict[str, Any], wanted: Any) -> dict[str, Any] | None:
        body = with_valid_status(stored)
        try:
            schedule = UserSchedule.from_body(body).at(self._now())
        except InvalidSpecError:
            return None
        return member_status.troubled(body, schedule, wanted, now=self._now())
