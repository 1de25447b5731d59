"""The backlog as numbers: overdue syncs, late digests, users whose runs fail, dead letters, unsettled deliveries.

Each question is answered by an index.

The database does not know which schedules are suspended. So of a user whose runs do not come at all nothing is said
here: the operator knows that (`status.absence`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Subquery,
    Text,
    func,
    literal,
    or_,
    select,
    type_coerce,
    union_all,
)

from catchup_contract.api import SYNC_INTERVALS_MINUTES
from catchup_contract.cadence import MISSED_SYNCS
from catchup_contract.digest_rule import LATE_AFTER
from catchup_contract.kinds import KINDS, SYNC, Kind
from catchup_contract.outcomes import Reason
from catchup_jobs.adapters.database.last_runs import last_run
from catchup_jobs.adapters.database.schema import (
    calendars,
    dead_letters,
    deliveries,
    digests,
    oauth_tokens,
    pool_members,
    runs,
    users,
)
from catchup_jobs.adapters.database.sync_intervals import intervals_before
from catchup_jobs.domain.stored_enums import DeliveryStatus, RunState, TokenState

# A digest is not sent any more `LATEST` after its due time; the day after nobody need be called for it.
_LATE_UNTIL: Final = timedelta(days=1)
"""A digest counts as late until this long after its due time."""
# A weekly digest that failed is the latest run of its kind for a week.
_FAILURES_OF: Final = timedelta(days=8)
"""Users count as failing by their latest runs within this time."""
# The reasons of a sync that is skipped for what the installation lacks. A user who must reconnect is counted as such.
_NOT_THE_USERS: Final = (Reason.NOT_CONFIGURED, Reason.DAILY_LIMIT)
# In an outage every user fails at each slot. So many are enough to see that, and are read in a fraction of a second.
_RUNS_MAX: Final = 10_000
"""Failed runs that the metrics of failing users are read from at most."""
_UNSETTLED: Final = (DeliveryStatus.PENDING, DeliveryStatus.SENDING, DeliveryStatus.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Overdue:
    """Users whose syncs run and do not succeed.

    Attributes:
        users: how many.
        oldest_success: the oldest of their last successes; None where no calendar was ever read.
    """

    users: int
    oldest_success: datetime | None


@dataclass(frozen=True, slots=True)
class LateDigests:
    """Digests that wait.

    Attributes:
        digests: how many.
        oldest_due: the earliest of their due times; None where none is late.
    """

    digests: int
    oldest_due: datetime | None


def overdue_syncs(connection: Connection, now: datetime) -> Overdue:
    """Return the users who can be synced, whose sync ran of late, and did not succeed for `MISSED_SYNCS` slots."""
    longest = timedelta(minutes=max(SYNC_INTERVALS_MINUTES.values()))
    recent = now - MISSED_SYNCS * longest
    unsuccessful = union_all(
        *(
            select(_newest(SYNC, state, recent, *only))
            for state, *only in (
                (RunState.FAILED,),
                (RunState.RETRY,),
                (RunState.SKIPPED, runs.c.reason.in_(_NOT_THE_USERS)),
            )
        )
    ).subquery()
    failed = (
        select(unsuccessful.c.subject, func.max(unsuccessful.c.started_at).label("started_at"))
        .group_by(unsuccessful.c.subject)
        .subquery()
    )
    # A pool has an interval of its own. By a look at each: a join would read all members of all pools.
    of_pool = select(pool_members.c.sync_every).where(pool_members.c.user_id == users.c.id).scalar_subquery()
    every = func.coalesce(of_pool, users.c.sync_every)
    tried = _once(
        select(
            users.c.id,
            users.c.created_at,
            failed.c.started_at,
            intervals_before(now, MISSED_SYNCS, every).label("since"),
        )
        .select_from(
            failed.join(users, users.c.id == failed.c.subject).join(oauth_tokens, oauth_tokens.c.user_id == users.c.id)
        )
        .where(oauth_tokens.c.state == TokenState.ACTIVE)
    )
    last_success = (
        select(func.max(calendars.c.last_success_at))
        .where(calendars.c.user_id == tried.c.id, calendars.c.selected)
        .scalar_subquery()
    )
    found = _once(
        select(last_success.label("last_success"), tried.c.since).where(
            tried.c.started_at > tried.c.since, tried.c.created_at < tried.c.since
        )
    )
    statement = select(func.count(), func.min(found.c.last_success)).where(
        or_(found.c.last_success < found.c.since, found.c.last_success.is_(None))
    )
    number, oldest = connection.execute(statement).one()
    return Overdue(number, oldest)


def _once(rows: Select[Any]) -> Subquery:
    """Return rows whose columns are computed once each, however often the rest of the statement names them."""
    return rows.offset(0).subquery()


def failing(connection: Connection, now: datetime) -> dict[tuple[str, ...], int]:
    """Return by kind and reason how many subjects' latest run failed. A later success ends it."""
    return {
        key: number
        for kind in KINDS.values()
        for key, number in _failing_of(connection, kind, now - _FAILURES_OF).items()
    }


def _failing_of(connection: Connection, kind: Kind, since: datetime) -> dict[tuple[str, ...], int]:
    failed = _newest(kind, RunState.FAILED, since)
    # By a look at each: for NOT EXISTS the planner would read all runs of the kind.
    is_last = failed.c.run_key == last_run(kind, failed.c.subject)
    return _counted(connection, failed.c.kind, failed.c.reason, where=[is_last])


def _newest(kind: Kind, state: RunState, since: datetime, *only: ColumnElement[bool]) -> Subquery:
    """Return the newest runs of a kind in a state, a bounded number of them."""
    return (
        select(runs.c.run_key, runs.c.kind, runs.c.subject, runs.c.reason, runs.c.started_at)
        .where(runs.c.kind == kind, runs.c.state == state, runs.c.started_at > since, *only)
        .order_by(runs.c.started_at.desc())
        .limit(_RUNS_MAX)
        .subquery()
    )


def abandoned(connection: Connection) -> dict[tuple[str, ...], int]:
    """Return the number of dead letters by kind and reason."""
    return _counted(connection, dead_letters.c.kind, dead_letters.c.reason)


def unsettled_deliveries(connection: Connection) -> dict[tuple[str, ...], int]:
    """Return the number of deliveries by channel and status that are not sent, refused or skipped."""
    return _counted(connection, deliveries.c.channel, deliveries.c.status, where=[_is_unsettled(_UNSETTLED)])


def late_digests(connection: Connection, now: datetime) -> LateDigests:
    """Return the digests of the last day of which a message waits since an hour after the due time."""
    waiting = (DeliveryStatus.PENDING, DeliveryStatus.SENDING)
    statement = (
        select(func.count(digests.c.id.distinct()), func.min(digests.c.due_at))
        .select_from(digests.join(deliveries))
        .where(_is_unsettled(waiting), digests.c.due_at.between(now - _LATE_UNTIL, now - LATE_AFTER))
    )
    return LateDigests(*connection.execute(statement).one())


def tokens(connection: Connection) -> dict[str, int]:
    """Return the number of users by the state of their calendar's token."""
    counted = _counted(connection, oauth_tokens.c.state)
    return dict.fromkeys((state.value for state in TokenState), 0) | {key[0]: number for key, number in counted.items()}


def _counted(
    connection: Connection, *key: ColumnElement[Any], where: Iterable[ColumnElement[bool]] = ()
) -> dict[tuple[str, ...], int]:
    """Return how many rows have each key, as text: a value that only newer code knows is told as it is."""
    stored = [type_coerce(column, Text()) for column in key]
    rows = connection.execute(select(func.count(), *stored).where(*where).group_by(*stored))
    return {tuple(map(str, values)): number for number, *values in rows}


def _is_unsettled(statuses: tuple[DeliveryStatus, ...]) -> Any:
    # Literals, or the planner could not know that the partial index has them.
    return deliveries.c.status.in_(
        [literal(status, deliveries.c.status.type, literal_execute=True) for status in statuses]
    )
