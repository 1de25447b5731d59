"""What a week in which nothing happens to the members of a pool costs the API server: the writes of the operator."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

from unit.operator.factories import TEMPLATE, body
from unit.operator.status.test_patches import merge

from catchup_contract.digest_rule import DigestDay
from catchup_contract.kinds import DIGEST, SYNC, Kind
from catchup_contract.outcomes import Outcome
from catchup_contract.pools import counts_the_pool
from catchup_contract.summary import Count, Summary
from catchup_contract.trouble import page_of
from catchup_operator.kube.client import KubeClient
from catchup_operator.kube.resources import PODS
from catchup_operator.manifests.names import SCHEDULE_POOL, Key, key_of
from catchup_operator.reconcile.job_status import JobStatusUpdater
from catchup_operator.reconcile.placements import Dedicated, Placement, Pooled
from catchup_operator.reconcile.served_namespaces import ServedNamespaces
from catchup_operator.reconcile.status_writer import StatusWriter
from catchup_operator.state.pools import PoolFacts, Pools
from catchup_operator.status.results import FinishedJob

NOW = datetime(2026, 11, 28, 0, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POOL: Key = ("people", "night")
MEMBERS, AIM_WRITES = 3000, 2000
# The operator renews it once a minute.
LEASE_WRITES = 24 * 60


@dataclass
class Server:
    """Objects by their keys, as much of an API server as statuses need; it counts what is written."""

    now: datetime = NOW
    objects: dict[Key, dict[str, Any]] = field(default_factory=dict)
    writes: Counter[tuple[date, str]] = field(default_factory=Counter)
    message: str = ""

    async def get(self, resource: str, namespace: str, name: str) -> dict[str, Any] | None:
        return self.objects.get((namespace, name))

    async def patch_status(self, resource: str, stored: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        self.writes[self.now.date(), resource] += 1
        self.objects[key_of(stored)] = dict(merge(stored, {"status": status}))

    async def create(self, resource: str, document: Mapping[str, Any]) -> None:
        self.writes[self.now.date(), resource] += 1

    async def list_items(self, resource: str, *_: Any, **__: Any) -> AsyncIterator[dict[str, Any]]:
        if resource == PODS:
            terminated = {"exitCode": 0, "message": self.message, "reason": "Completed"}
            status = {"containerStatuses": [{"name": "job", "state": {"terminated": terminated}}]}
            yield {"metadata": {"name": "tick", "uid": "pod"}, "status": status}


class Served:
    """This operator serves all namespaces."""

    identity = "release"

    async def require(self, namespace: str) -> None:
        """It does."""


@dataclass
class Operator:
    """The parts of the operator that write statuses between reconciliations."""

    server: Server

    def __post_init__(self) -> None:
        self.pools = Pools()
        self.pools.note_listed(POOL[0])
        self.pools.note(POOL, PoolFacts(admits=True, off={}))
        self.members, self.pool = Dedicated(TEMPLATE, self.pools), Pooled(TEMPLATE, self.pools)
        self.of_members, self.of_pool = self.updater(self.members), self.updater(self.pool)

    def updater(self, placement: Placement) -> JobStatusUpdater:
        client, scopes = cast("KubeClient", self.server), cast("ServedNamespaces", Served())
        return JobStatusUpdater(
            client,
            placement,
            required_objects=(),
            statuses=placement.statuses(),
            writer=StatusWriter(client, placement.owner, scopes, lambda: self.server.now),
            now=lambda: self.server.now,
        )

    def make(self, number: int) -> None:
        """Make a member, whose status is as its reconciliation wrote it; most have their digest on Sunday."""
        day, clock = DigestDay.SUNDAY if number % 8 else DigestDay.DAILY, f"{number * 17 % 24:02}:{number % 60:02}"
        spec = {"userId": f"user-{number}", "pool": POOL[1], "digest": {"day": day.value, "time": clock}}
        made = body(spec, name=f"user-{number}", uid=f"uid-{number}", creationTimestamp="2026-11-01T00:00:00Z")
        patch = self.members.desired(made, older=None, now=self.server.now).patch({})
        self.server.objects[key_of(made)] = dict(merge(made, {"status": patch}))
        statuses = self.of_members._statuses
        statuses.note(self.server.objects[key_of(made)], self.server.now)
        statuses.note_next_runs(key_of(made), patch or {})

    async def tick(self, kind: Kind, failing: int) -> None:
        """Let a tick of the pool end, as the watch on Jobs tells it."""
        server, slot = self.server, self.server.now
        ended = slot + timedelta(seconds=20)
        name = f"night-pool-{kind}-{int(slot.timestamp()) // 60}"
        finished = FinishedJob(POOL[0], name, name, kind, SCHEDULE_POOL, POOL[1], f"c-{kind}", slot, ended, None)
        statuses = self.of_pool._statuses
        statuses.note_finished(POOL, finished)
        if not statuses.is_recorded(POOL, finished):
            counts = {Count.USERS_SERVED: 60, Count.USERS_FAILED: 0, Count.USERS_DEFERRED: 0}
            if counts_the_pool(slot, "1m"):
                counts |= {Count.MEMBERS: MEMBERS, Count.MEMBERS_LATE: 0, Count.MEMBERS_FAILING: failing}
            page = page_of([], MEMBERS)
            server.message = Summary(kind, Outcome.DONE, slot, ended, counts=counts, trouble=page).to_json()
            await self.of_pool.record(finished)
            statuses.note(server.objects[POOL], server.now)


async def a_week(server: Server) -> None:
    operator = Operator(server)
    sections = {f"{kind}": {"cronJobUID": f"c-{kind}", "cronJobName": f"night-pool-{kind}"} for kind in (SYNC, DIGEST)}
    pool = {"metadata": body(name=POOL[1])["metadata"], "spec": {"members": "UserSchedules"}, "status": sections}
    server.objects[POOL] = pool
    operator.of_pool._statuses.note(pool, server.now)
    for number in range(MEMBERS):
        operator.make(number)
    while server.now < NOW + timedelta(days=7):
        # Who is in trouble comes and goes, in small numbers.
        failing = server.now.hour % 4
        for kind in (SYNC, DIGEST) if server.now.minute % 2 else (DIGEST, SYNC):
            await operator.tick(kind, failing)
        for key in operator.of_members.overdue():
            await operator.of_members.refresh(key)
        server.now += MINUTE


def test_no_day_of_a_quiet_week_of_3000_members_costs_2000_writes_and_no_status_names_a_date_that_has_passed() -> None:
    server = Server()
    asyncio.run(a_week(server))

    for day in (NOW.date() + timedelta(days=number) for number in range(7)):
        of = {resource: count for (on, resource), count in server.writes.items() if on == day}
        # Once in five minutes for both kinds together; the first ticks change a condition each.
        assert 24 * 12 <= of["schedulepools"] <= 24 * 12 + 4
        assert of.get("userschedules", 0) == 0
        assert of.get("events", 0) <= 4
        assert sum(of.values()) + LEASE_WRITES < AIM_WRITES, (day, of)
    members = [found for key, found in server.objects.items() if key != POOL]
    assert len(members) == MEMBERS
    shown = {text for member in members for text in member["status"]["digest"].values()}
    assert "Daily 00:00" in shown
    assert not any("2026-12" in text or "2026-11-2" in text or "2026-11-30" in text for text in shown), shown
