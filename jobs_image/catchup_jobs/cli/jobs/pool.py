"""A tick of a pool in this process: the settings, the threads' clients, and the summary of what it did."""

from __future__ import annotations

import uuid
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from catchup_contract.api import DEFAULT_SYNC_EVERY
from catchup_contract.kinds import Rule
from catchup_contract.outcomes import ExitCode, Outcome, Reason, advice_of
from catchup_contract.pools import TICK_DEADLINE_SECONDS, Members, counts_the_pool, pages_max, turn_of
from catchup_contract.summary import Count
from catchup_contract.trouble import page_of
from catchup_jobs.adapters.database.pools.apply_list import apply_list, known_pools
from catchup_jobs.adapters.database.pools.claims import PoolSlots
from catchup_jobs.adapters.database.pools.known import without_user
from catchup_jobs.adapters.database.pools.members import interval_of
from catchup_jobs.adapters.database.pools.ticks import note_tick
from catchup_jobs.adapters.database.runs.store import DatabaseRunStore
from catchup_jobs.adapters.files.mounted_list import read_schedule_list
from catchup_jobs.adapters.process import current_process
from catchup_jobs.cli.jobs.job_runner import locks_of, reported
from catchup_jobs.cli.jobs.registry import body_of
from catchup_jobs.cli.jobs.threads import ThreadClients
from catchup_jobs.cli.resources import Resources, open_database
from catchup_jobs.jobs.pool.process_deaths import abandon
from catchup_jobs.jobs.pool.tick import Tick, TickResult, Work, exit_of
from catchup_jobs.jobs.run.endings import Ending, Report, report_of
from catchup_jobs.jobs.run.errors import PermanentError
from catchup_jobs.jobs.run.execution import run_job
from catchup_jobs.jobs.run.ports import Process, RunLocks, RunStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from catchup_contract.kinds import Kind
    from catchup_contract.schedule_list import ListedSchedule, ScheduleList
    from catchup_contract.trouble import TroublePage
    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.jobs.pool.ports import Farewells, Member
    from catchup_jobs.settings import Settings

# Workers compute one after the other, and most of their time is waiting for a provider.
_CONNECTIONS: Final = 4
"""The connections to PostgreSQL of a pool's pod."""
_LEASE: Final = timedelta(minutes=15)
"""How long after its pod's deadline a run of a pool's member counts as crashed if nobody has tried it again."""
_LOGGED: Final = 10
"""Users whom the database does not know that a tick of a pool names in its log."""

_log = structlog.get_logger()


def execute_tick(kind: Kind, pool: str) -> int:
    """Serve the members of a pool who are due for a kind; return the process's exit code."""

    def run(settings: Settings) -> Report:
        # First: a container's first process ignores SIGTERM until it has a handler.
        with current_process(settings.pod_uid or str(uuid.uuid4())) as process:
            return _perform(kind, pool, settings, process)

    return reported(kind, run)


def _perform(kind: Kind, pool: str, settings: Settings, process: Process) -> Report:
    """Make the tick. Raises JobError."""
    started_at = process.now()
    if settings.pool_off is not None:
        # Before the list is applied: the members may be those of an older pool of this name.
        _log.warning("nobody is served", pool=pool, kind=kind.name, why=advice_of(Reason.SWITCHED_OFF))
        return report_of(Ending(Outcome.SKIPPED, ExitCode.DONE, Reason.SWITCHED_OFF), kind, started_at, started_at)
    shard, shards = settings.pool_shard
    with (
        open_database(settings, process, connections=_CONNECTIONS) as database,
        locks_of(kind, settings, database) as locks,
        closing(ThreadClients()) as clients,
        _farewells_of(settings) as farewells,
    ):
        listed = None if settings.schedule_list is None else read_schedule_list(Path(settings.schedule_list))
        if listed is not None:
            _apply_list(database, pool, settings, listed, started_at)
        elif pool in known_pools(database):
            raise PermanentError(
                f"the pool {pool} is a SchedulePool's: its own pods alone know whether it is suspended, and whom"
                f" UserSchedules name; `kubectl create job NAME --from=cronjob/{pool}-pool-{kind}` plays a tick"
            )
        if shard == 0:
            note_tick(database, pool, now=started_at)
        # By hand, nobody says the interval: it stays what the pool's own pods were told.
        every = settings.sync_every or interval_of(database, pool) or DEFAULT_SYNC_EVERY
        store = PoolSlots(database, pool, kind, every, version_of(kind, every), shard, shards, settings.digest_since)
        if counts_the_pool(settings.slot, settings.pool_tick) and (far := store.compute_far_anew(now=process.now())):
            _log.warning("members were due later than their schedule says: was a node's clock ahead?", members=far)
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
        result = Tick(kind, store, Work(runs.serve, runs.give_up), process, deadline, farewells=farewells)()
        counts, trouble = _counts(result), None
        if shard == 0:
            unknown = _without_user(database, pool, kind, settings, listed, now=process.now())
            if counts_the_pool(settings.slot, settings.pool_tick):
                counts |= store.counts(now=process.now())
                counts[Count.MEMBERS_FAILING] = counts.get(Count.MEMBERS_FAILING, 0) + len(unknown)
            trouble = _page(store, settings, unknown)
    outcome, exit_code, reason = exit_of(result)
    _log.info("tick ended", pool=pool, kind=kind.name, **{count.value: number for count, number in counts.items()})
    report = report_of(Ending(outcome, exit_code, reason, counts), kind, started_at, process.now())
    return replace(report, summary=replace(report.summary, trouble=trouble))


@contextmanager
def _farewells_of(settings: Settings) -> Iterator[Farewells | None]:
    """Open what keeps the farewells of pods: Redis, where there is one. Raises MisconfiguredError."""
    if settings.redis_url is None:
        yield None
        return
    from catchup_jobs.adapters.redis.farewells import RedisFarewells  # noqa: PLC0415 - a laptop does without

    with closing(RedisFarewells.open(settings.redis_url)) as farewells:
        yield farewells


def version_of(kind: Kind, every: str) -> str:
    """Return what changes with everything from which a kind's due times are computed, apart from the user."""
    zone_data = metadata.version("tzdata")
    # A digest does not depend on the interval, which ticks of the digest may know later than those of the sync.
    return f"{zone_data} {every}" if kind.rule is Rule.INTERVAL else zone_data


def _without_user(
    database: Database, pool: str, kind: Kind, settings: Settings, listed: ScheduleList | None, *, now: datetime
) -> list[ListedSchedule]:
    """Return the UserSchedules of the pool whose users nobody has imported, and log that there are some."""
    if listed is None or settings.pool_members is not Members.USER_SCHEDULES:
        return []
    unknown = without_user(database, pool, kind, listed, now=now)
    if unknown and counts_the_pool(settings.slot, settings.pool_tick):
        some = [one.user_id for one in unknown[:_LOGGED]]
        _log.warning(
            "the database does not know the users of UserSchedules: import them", number=len(unknown), users=some
        )
    return unknown


def _page(store: PoolSlots, settings: Settings, unknown: Sequence[ListedSchedule]) -> TroublePage | None:
    """Return the page of members in trouble whose turn it is; of users without a resource only with the counts."""
    if settings.pool_members is Members.DATABASE and not counts_the_pool(settings.slot, settings.pool_tick):
        return None
    tick = settings.pool_tick
    troubles = [*store.troubles(), *((one.uid, Reason.UNKNOWN_USER) for one in unknown)]
    members = store.size() + len(unknown)
    turn, most = turn_of(settings.slot, tick), pages_max(tick)
    return page_of(troubles, members, unnamed=store.causes(), turn=turn, pages_max=most)


def _apply_list(database: Database, pool: str, settings: Settings, listed: ScheduleList, now: datetime) -> None:
    changed = apply_list(database, pool, listed, where=settings.pool_members, now=now)
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
