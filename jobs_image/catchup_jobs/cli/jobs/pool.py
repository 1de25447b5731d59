"""A tick of a pool in this process: the settings, the threads' clients, and the summary of what it did."""

from __future__ import annotations

import uuid
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from catchup_contract.api import DEFAULT_SYNC_EVERY
from catchup_contract.pools import TICK_DEADLINE_SECONDS, Members, counts_the_pool, pages_max, turn_of
from catchup_contract.summary import Count
from catchup_contract.trouble import page_of
from catchup_jobs.adapters.database.pools.members import interval_of
from catchup_jobs.adapters.database.pools.schedule_list import apply_list
from catchup_jobs.adapters.database.pools.slots import PoolSlots
from catchup_jobs.adapters.database.runs.store import DatabaseRunStore
from catchup_jobs.adapters.files.schedule_list import read_schedule_list
from catchup_jobs.adapters.process import current_process
from catchup_jobs.cli.jobs.harness import locks_of, reported
from catchup_jobs.cli.jobs.registry import body_of
from catchup_jobs.cli.jobs.threads import ThreadClients
from catchup_jobs.cli.resources import Resources, open_database
from catchup_jobs.jobs.pool.abandonment import abandon
from catchup_jobs.jobs.pool.tick import Tick, TickResult, Work, exit_of
from catchup_jobs.jobs.run.endings import Ending, Report, report_of
from catchup_jobs.jobs.run.execution import run_job
from catchup_jobs.jobs.run.ports import Process, RunLocks, RunStore

if TYPE_CHECKING:
    from catchup_contract.kinds import Kind
    from catchup_contract.trouble import TroublePage
    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.jobs.pool.ports import Member
    from catchup_jobs.settings import Settings

# Workers compute one after the other, and most of their time is waiting for a provider.
_CONNECTIONS: Final = 4
"""The connections to PostgreSQL of a pool's pod."""
_LEASE: Final = timedelta(minutes=15)
"""How long after its pod's deadline a run of a pool's member counts as crashed if nobody has tried it again."""

_log = structlog.get_logger()


def execute_tick(kind: Kind, pool: str) -> int:
    """Serve the members of a pool who are due for a kind; return the process's exit code."""
    return reported(kind, lambda settings: _perform(kind, pool, settings))


def _perform(kind: Kind, pool: str, settings: Settings) -> Report:
    started_at = datetime.now(UTC)
    shard, shards = settings.pool_shard
    with (
        current_process(settings.pod_uid or str(uuid.uuid4())) as process,
        open_database(settings, process, connections=_CONNECTIONS) as database,
        locks_of(kind, settings, database) as locks,
        closing(ThreadClients()) as clients,
    ):
        if settings.schedule_list is not None:
            _apply_list(database, pool, settings, Path(settings.schedule_list), started_at)
        # By hand, nobody says the interval: it stays what the pool's own pods were told.
        every = settings.sync_every or interval_of(database, pool) or DEFAULT_SYNC_EVERY
        version = f"{metadata.version('tzdata')} {every}"
        store = PoolSlots(database, pool, kind, every, version, shard, shards, settings.digest_since)
        deadline = started_at + timedelta(seconds=settings.deadline or TICK_DEADLINE_SECONDS)
        runs = _Runs(
            kind=kind,
            settings=settings,
            database=database,
            locks=locks,
            process=process,
            deadline=deadline,
            store=DatabaseRunStore(database),
            clients=clients,
        )
        result = Tick(kind, store, Work(runs.serve, runs.give_up), process, deadline)()
        counts, trouble = _counts(result), None
        if shard == 0:
            counts |= store.counts(now=process.now()) if counts_the_pool(settings.slot) else {}
            trouble = _page(store, settings)
    outcome, exit_code, reason = exit_of(result)
    _log.info("tick ended", pool=pool, kind=kind.name, **{count.value: number for count, number in counts.items()})
    report = report_of(Ending(outcome, exit_code, reason, counts), kind, started_at, datetime.now(UTC))
    return replace(report, summary=replace(report.summary, trouble=trouble))


def _page(store: PoolSlots, settings: Settings) -> TroublePage | None:
    """Return the page of members in trouble whose turn it is; of users without a resource only with the counts."""
    if settings.pool_members is Members.DATABASE and not counts_the_pool(settings.slot):
        return None
    tick = settings.pool_tick
    return page_of(store.troubles(), store.size(), turn=turn_of(settings.slot, tick), pages_max=pages_max(tick))


def _apply_list(database: Database, pool: str, settings: Settings, folder: Path, now: datetime) -> None:
    changed = apply_list(database, pool, read_schedule_list(folder), where=settings.pool_members, now=now)
    if changed:
        _log.info("members by UserSchedules are new or changed", members=len(changed))


def _counts(result: TickResult) -> dict[Count, int]:
    return {
        Count.USERS_SERVED: result.served,
        Count.USERS_FAILED: result.failed,
        Count.USERS_DEFERRED: result.deferred,
    }


@dataclass(frozen=True)
class _Runs:
    """Makes the runs of members; its methods are called from several threads and raise nothing."""

    kind: Kind
    settings: Settings
    database: Database
    locks: RunLocks
    process: Process
    deadline: datetime
    store: RunStore
    clients: ThreadClients

    def serve(self, member: Member) -> Report:
        """Make the run of a member."""
        body = body_of(self.kind, member.user_id)
        resources = Resources(self.settings, self.database, self.clients.get(), member.when.digest)
        remaining = (self.deadline - self.process.now()).total_seconds()
        return run_job(
            lambda context: body(context, resources),
            member.run(self.kind),
            store=self.store,
            locks=self.locks,
            process=self.process,
            deadline_seconds=min(remaining, self.kind.deadlines.active),
            waits=False,
            lease_margin=_LEASE,
        )

    def give_up(self, member: Member) -> Report:
        """Close the run of a member with a dead letter."""
        return abandon(member.run(self.kind), store=self.store, process=self.process, lease=_LEASE)
