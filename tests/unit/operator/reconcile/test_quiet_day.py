"""What a day in which nothing happens to the members of a pool costs the API server: the writes of the operator."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from unit.operator.factories import TEMPLATE, body
from unit.operator.status.test_patches import merge

from catchup_contract.digest_rule import DigestDay
from catchup_contract.kinds import DIGEST, SYNC, Kind
from catchup_contract.outcomes import Outcome
from catchup_contract.pools import counts_the_pool
from catchup_contract.summary import Count, Summary
from catchup_contract.timestamps import format_utc
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

NOW = datetime(2026, 11, 29, 0, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POOL: Key = ("people", "night")
# The aim is for 3,000 members, of whom the test has so many: for each day of the week, and daily ones.
MEMBERS, AIM_MEMBERS, AIM_WRITES = 80, 3000, 2000


@dataclass
class Server:
    """Objects by their keys, as much of an API server as statuses need; it counts what is written."""

    now: datetime = NOW
    objects: dict[Key, dict[str, Any]] = field(default_factory=dict)
    writes: Counter[str] = field(default_factory=Counter)
    read: Counter[str] = field(default_factory=Counter)
    message: str = ""

    async def get(self, resource: str, namespace: str, name: str) -> dict[str, Any] | None:
        self.read[resource] += 1
        return self.objects.get((namespace, name))

    async def patch_status(self, resource: str, stored: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        self.writes[resource] += 1
        self.objects[key_of(stored)] = dict(merge(stored, {"status": status}))

    async def create(self, resource: str, document: Mapping[str, Any]) -> None:
        self.writes[resource] += 1

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
        """Make a member, whose status is as its reconciliation wrote it."""
        day, clock = list(DigestDay)[number % 8], f"{number * 17 % 24:02}:{number % 60:02}"
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
        counts = {Count.USERS_SERVED: 60, Count.USERS_FAILED: 0, Count.USERS_DEFERRED: 0}
        if counts_the_pool(slot, "1m"):
            counts |= {Count.MEMBERS: AIM_MEMBERS, Count.MEMBERS_LATE: 0, Count.MEMBERS_FAILING: failing}
        ended = slot + timedelta(seconds=20)
        page = page_of([], AIM_MEMBERS)
        server.message = Summary(kind, Outcome.DONE, slot, ended, counts=counts, trouble=page).to_json()
        name = f"night-pool-{kind}-{int(slot.timestamp()) // 60}"
        finished = FinishedJob(POOL[0], name, name, kind, SCHEDULE_POOL, POOL[1], f"c-{kind}", slot, ended, None)
        statuses = self.of_pool._statuses
        statuses.note_finished(POOL, finished)
        if not statuses.is_recorded(POOL, finished):
            await self.of_pool.record(finished)
            statuses.note(server.objects[POOL], server.now)


async def a_day(server: Server) -> None:
    operator = Operator(server)
    sections = {f"{kind}": {"cronJobUID": f"c-{kind}", "cronJobName": f"night-pool-{kind}"} for kind in (SYNC, DIGEST)}
    pool = {"metadata": body(name=POOL[1])["metadata"], "spec": {"members": "UserSchedules"}, "status": sections}
    server.objects[POOL] = pool
    operator.of_pool._statuses.note(pool, server.now)
    for number in range(MEMBERS):
        operator.make(number)
    while server.now < NOW + timedelta(days=1):
        # Who is in trouble comes and goes, in small numbers.
        failing = server.now.hour % 4
        for kind in (SYNC, DIGEST) if server.now.minute % 2 else (DIGEST, SYNC):
            await operator.tick(kind, failing)
        for key in operator.of_members.overdue():
            await operator.of_members.refresh(key)
        # An operator waits for 20 minutes whether a run of that date is told.
        late = format_utc(server.now - timedelta(minutes=21))
        for name, member in server.objects.items():
            shown = member["status"]["digest"].get("nextRunTimes") or ["9999"]
            assert shown[0] > late, (name, "a digest that has passed is not announced")
        server.now += MINUTE


def test_a_quiet_day_of_3000_members_costs_less_than_2000_writes_and_shows_no_digest_that_has_passed() -> None:
    server = Server()
    asyncio.run(a_day(server))

    of_pool, of_members = server.writes["schedulepools"], server.writes["userschedules"]
    # Once in five minutes for both kinds together; the first ticks change a condition each.
    assert 24 * 12 <= of_pool <= 24 * 12 + 4
    # Those of this day of the week, an eighth of the members.
    assert MEMBERS // 8 - 2 <= of_members <= MEMBERS // 8 + 2
    assert server.writes["events"] <= 4
    scaled = of_pool + of_members * AIM_MEMBERS / MEMBERS
    assert scaled < AIM_WRITES, server.writes
