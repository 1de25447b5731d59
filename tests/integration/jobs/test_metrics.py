"""The numbers of an installation on both databases: each says what is wrong, and clears when later runs succeed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from integration.jobs.test_runs_listing import end, run
from integration.jobs.test_schema import user_row
from sqlalchemy import Table, delete, insert, update

from catchup_contract.kinds import DIGEST, SUGGESTIONS, SYNC
from catchup_contract.outcomes import Reason
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.metrics import pools
from catchup_jobs.adapters.database.metrics.backlog import LateDigests
from catchup_jobs.adapters.database.metrics.snapshot import Snapshot, take
from catchup_jobs.adapters.database.pools.claims import PoolSlots
from catchup_jobs.adapters.database.pools.members import enrol
from catchup_jobs.adapters.database.pools.overview import overviews, pool_counts
from catchup_jobs.adapters.database.pools.trouble import failing_members
from catchup_jobs.adapters.database.schema import (
    SCHEMA_VERSION,
    calendars,
    deliveries,
    digests,
    oauth_tokens,
    pool_members,
    pool_slots,
    runs,
    users,
)
from catchup_jobs.adapters.exporter.families import families
from catchup_jobs.domain.digest.channels import EMAIL, SMS
from catchup_jobs.domain.stored_enums import DeliveryStatus, Provider, RunState, TokenState
from catchup_jobs.jobs.run.ports import Run

NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_numbers = count(1)


def seen(database: Database, at: datetime = NOW, *, shards: int = 1) -> Snapshot:
    return take(database, at, shards=shards)


def add(database: Database, table: Table, **values: Any) -> None:
    with database.write() as connection:
        connection.execute(insert(table).values(**values))


def user(
    database: Database,
    name: str,
    *,
    every: str = "30m",
    token: TokenState | None = TokenState.ACTIVE,
    success: datetime | None = None,
) -> None:
    """Add a user with one calendar that was last read at `success`."""
    add(database, users, **user_row(name, sync_every=every, created_at=NOW - 30 * DAY))
    if token is not None:
        sealed = {"provider": Provider.GOOGLE, "key_id": "k", "ciphertext": b"x", "version": 1, "updated_at": NOW}
        add(database, oauth_tokens, user_id=name, state=token, **sealed)
    about = {"google_id": "primary", "summary": "", "is_primary": True, "access_role": "owner", "selected": True}
    add(database, calendars, id=next(_numbers), user_id=name, last_success_at=success, **about)


# What happened to a user's syncs, and whether the sync is overdue at NOW.
@pytest.mark.parametrize(
    ("every", "token", "success", "last_run", "state", "reason", "is_overdue"),
    [
        ("30m", "active", 91, 5, "failed", "budget_spent", True),
        ("30m", "active", 89, 5, "failed", "budget_spent", False),  # not three slots ago
        ("5m", "active", 16, 2, "failed", "budget_spent", True),
        ("24h", "active", 91, 5, "failed", "budget_spent", False),
        ("24h", "active", 3 * 1440 + 1, 5, "failed", "budget_spent", True),
        ("30m", "active", None, 5, "failed", "budget_spent", True),  # never read
        ("30m", "active", 91, 5, "retry", "unavailable", True),
        ("30m", "active", 91, 5, "skipped", "daily_limit", True),
        ("30m", "active", 91, 5, "skipped", "not_configured", True),
        ("30m", "active", 91, 5, "skipped", "locked", False),  # another one is at work
        ("30m", "active", 5, 5, "done", None, False),
        ("30m", "active", 91, 95, "failed", "budget_spent", False),  # no run comes: suspended, or the operator tells
        ("30m", "reconnect", 91, 5, "failed", "budget_spent", False),  # the user's
        ("30m", None, 91, 5, "failed", "budget_spent", False),
    ],
)
def test_a_sync_is_overdue_while_it_runs_and_has_not_succeeded_for_three_slots(
    database: Database,
    *,
    every: str,
    token: str | None,
    success: int | None,
    last_run: int,
    state: str,
    reason: str | None,
    is_overdue: bool,
) -> None:
    at = None if success is None else NOW - success * MINUTE
    user(database, "ada", every=every, token=TokenState(token) if token else None, success=at)
    user(database, "grace", success=NOW - MINUTE)
    end(
        database,
        run(minutes=-last_run),
        state=RunState(state),
        reason=Reason(reason) if reason else Reason.PARTIAL,
        at=NOW - last_run * MINUTE,
    )
    found = seen(database).overdue
    assert found.users == int(is_overdue)
    assert found.oldest_success == (at if is_overdue else None)


@pytest.mark.parametrize(("every", "is_overdue"), [("6h", False), ("30m", True)])
def test_a_member_of_a_pool_is_overdue_by_the_pools_interval(
    database: Database, *, every: str, is_overdue: bool
) -> None:
    user(database, "ada", every="1h" if is_overdue else "5m", token=TokenState.ACTIVE, success=NOW - 91 * MINUTE)
    with database.write() as connection:
        enrol(database, connection, {"ada": "people"}, now=NOW - DAY)
    PoolSlots(database, "people", SYNC, every, f"2026z {every}").schedule(now=NOW, limit=10)
    end(database, run(minutes=-5), reason=Reason.BUDGET_SPENT, at=NOW - 5 * MINUTE)

    assert seen(database).overdue.users == int(is_overdue)


def test_what_fails_is_told_by_its_reason_until_a_later_run_succeeds(database: Database) -> None:
    for name in ("ada", "grace"):
        end(database, run(DIGEST, name), reason=Reason.MISCONFIGURED, at=NOW)
        end(database, run(DIGEST, name, 60), reason=Reason.MISCONFIGURED, at=NOW + HOUR)
    end(database, run(SYNC, "ada"), reason=Reason.BUDGET_SPENT, at=NOW)
    assert seen(database).failing == {("digest", "misconfigured"): 2, ("sync", "budget_spent"): 1}
    # A firing that had nothing to do is no success.
    for minutes, reason in ((90, Reason.NOT_DUE), (95, Reason.ALREADY_DONE)):
        at = NOW + minutes * MINUTE
        end(database, run(DIGEST, "ada", minutes), state=RunState.SKIPPED, reason=reason, at=at)
        assert seen(database).failing[("digest", "misconfigured")] == 2
    end(database, run(DIGEST, "ada", 120), state=RunState.DONE, at=NOW + 2 * HOUR)
    end(database, run(SYNC, "ada", 120), state=RunState.DONE, at=NOW + 2 * HOUR)
    # The follow-up of a digest that was sent does not bring back a failure before it.
    end(database, run(DIGEST, "ada", 150), state=RunState.SKIPPED, reason=Reason.ALREADY_DONE, at=NOW + 2.5 * HOUR)
    assert seen(database).failing == {("digest", "misconfigured"): 1}
    assert seen(database).last_success["digest"] == NOW + 2 * HOUR
    end(database, run(DIGEST, "grace", 180), state=RunState.SKIPPED, reason=Reason.EMPTY, at=NOW + 3 * HOUR)
    assert seen(database).failing == {}


def test_each_pool_is_told_with_who_is_late_and_who_fails(database: Database) -> None:
    for name in ("ada", "bob", "cy", "dee"):
        user(database, name)
    enrolled = {"ada": "people", "bob": "people", "cy": "people", "dee": "staff"}
    with database.write() as connection:
        enrol(database, connection, enrolled, now=NOW - DAY)
    for pool in ("people", "staff"):
        PoolSlots(database, pool, SYNC, "30m", "2026z 30m").schedule(now=NOW, limit=10)
    with database.write() as connection:
        connection.execute(update(pool_slots).values(due_at=NOW + HOUR))
        for name, minutes in (("ada", 31), ("bob", 29)):
            mine = update(pool_slots).where(pool_slots.c.user_id == name, pool_slots.c.kind == SYNC)
            connection.execute(mine.values(due_at=NOW - minutes * MINUTE))
        put_back = update(pool_slots).where(pool_slots.c.user_id == "dee", pool_slots.c.kind == SYNC)
        connection.execute(put_back.values(unfinished=NOW - 31 * MINUTE))
    end(database, run(SYNC, "ada", -90), state=RunState.DONE, at=NOW - 90 * MINUTE)
    end(database, run(SYNC, "bob", -60), state=RunState.DONE, at=NOW - 60 * MINUTE)
    end(database, run(SYNC, "cy", -5), reason=Reason.BUDGET_SPENT, at=NOW)
    end(database, run(SYNC, "stranger", -5), reason=Reason.BUDGET_SPENT, at=NOW)
    end(database, run(SYNC, "bob", -5), state=RunState.SKIPPED, reason=Reason.RECONNECT, at=NOW)
    end(database, run(SYNC, "dee", -5), state=RunState.DONE, at=NOW)
    with database.write() as connection:
        unreadable = update(runs).where(runs.c.subject == "dee").values(reason=Reason.CALENDAR_UNREADABLE)
        connection.execute(unreadable)

    found = seen(database)

    assert found.members == {"people": 3, "staff": 1}
    assert found.late_members == {
        ("people", "sync"): 1,
        ("people", "digest"): 0,
        ("staff", "sync"): 1,
        ("staff", "digest"): 0,
    }
    assert set(found.oldest_syncs) == {"people", "staff"}
    assert found.oldest_syncs["people"] < NOW - 80 * MINUTE
    assert found.failing == {("sync", "budget_spent"): 2}
    assert found.failing_members == {
        ("people", "sync", "budget_spent"): 1,
        ("people", "sync", "reconnect"): 1,
        ("staff", "sync", "calendar_unreadable"): 1,
    }
    shown = {one.pool: one.failing for one in overviews(database, now=NOW) if one.kind is SYNC}
    assert shown == {"people": 2, "staff": 1}, "the same as FAILING of `pool show`"
    numbers = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families(found)
        for sample in family.samples
        if sample.name.startswith(("catchup_pool", "catchup_runs_failing"))
    }
    assert numbers["catchup_runs_failing", "sync", "budget_spent"] == 2
    assert numbers["catchup_pool_members_failing", "people", "sync", "budget_spent"] == 1
    assert numbers["catchup_pool_members_late", "staff", "sync"] == 1
    assert numbers["catchup_pool_members", "people"] == 3


def test_who_is_suspended_or_leaves_is_no_member_in_any_count(database: Database) -> None:
    for name in ("ada", "bob", "cy"):
        user(database, name)
    with database.write() as connection:
        enrol(database, connection, dict.fromkeys(("ada", "bob", "cy"), "people"), now=NOW - DAY)
    PoolSlots(database, "people", SYNC, "30m", "2026z 30m").schedule(now=NOW, limit=10)
    with database.write() as connection:
        connection.execute(update(pool_slots).values(due_at=NOW - HOUR))
    for name in ("bob", "cy"):
        end(database, run(SYNC, name, -5), reason=Reason.BUDGET_SPENT, at=NOW)
    assert numbers_of(database) == (3, 3, 2)
    with database.write() as connection:
        for name, values in (("bob", {"suspended_until": NOW + HOUR}), ("cy", {"leaving": True})):
            connection.execute(update(pool_members).where(pool_members.c.user_id == name).values(values))
    assert numbers_of(database) == (1, 1, 0)
    with database.write() as connection:
        connection.execute(update(pool_members).values(suspended_until=NOW + HOUR))
    assert numbers_of(database) == (0, 0, 0)


def numbers_of(database: Database) -> tuple[int, int, int]:
    """Return the members of the pool `people`, who of them is late, and who fails, which all counts agree on."""
    found, key = seen(database), ("people", "sync")
    metrics = found.members["people"], found.late_members[key], sum(found.failing_members.values())
    with database.read() as connection:
        counts = pool_counts(connection, "people", SYNC, now=NOW)
        listed = list(failing_members(connection, "people", SYNC, now=NOW, limit=10))
    assert metrics == (counts[Count.MEMBERS], counts[Count.MEMBERS_LATE], counts[Count.MEMBERS_FAILING])
    (shown,) = (one for one in overviews(database, now=NOW) if one.kind is SYNC)
    assert (shown.members, shown.failing, len(listed)) == (metrics[0], metrics[2], metrics[2])
    return metrics


def test_old_failures_of_others_do_not_hide_who_fails_now(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_TROUBLED_RUNS", 2)
    for name in ("ada", "bob", "cy", "dee"):
        user(database, name)
    with database.write() as connection:
        enrol(database, connection, dict.fromkeys(("ada", "bob", "cy", "dee"), "people"), now=NOW - DAY)
    PoolSlots(database, "people", SYNC, "30m", "2026z 30m").schedule(now=NOW, limit=10)
    for name in ("ada", "bob"):  # an outage, which is over
        for minutes in (-300, -270):
            end(database, run(SYNC, name, minutes), reason=Reason.BUDGET_SPENT, at=NOW + minutes * MINUTE)
        end(database, run(SYNC, name, -240), state=RunState.DONE, at=NOW - 240 * MINUTE)
    end(database, run(SYNC, "cy", -10), reason=Reason.BUDGET_SPENT, at=NOW - 10 * MINUTE)
    end(database, run(SYNC, "dee", -5), state=RunState.SKIPPED, reason=Reason.RECONNECT, at=NOW - 5 * MINUTE)
    assert seen(database).failing_members == {("people", "sync", "budget_spent"): 1, ("people", "sync", "reconnect"): 1}


def test_a_dead_letter_counts_until_its_run_is_retried(database: Database) -> None:
    key = end(database, run(), reason=Reason.BAD_DATA)
    assert seen(database).abandoned == {("sync", "bad_data"): 1}
    end(database, Run(SYNC, "ada", NOW, "", replays=key), state=RunState.DONE, at=NOW + HOUR)
    assert seen(database).abandoned == {}
    assert seen(database).failing == {}


def deliver(database: Database, name: str, due_at: datetime | None, **statuses: DeliveryStatus) -> None:
    """Add a digest with a delivery for each channel."""
    digest_id = next(_numbers)
    dates = {"created_at": NOW - DAY, "updated_at": NOW}
    add(
        database,
        digests,
        id=digest_id,
        user_id=name,
        due_date=date(2026, 11, digest_id % 28 + 1),
        due_at=due_at,
        **dates,
    )
    channels: Mapping[str, Any] = {"sms": SMS, "email": EMAIL}
    for channel, status in statuses.items():
        lease = NOW if status is DeliveryStatus.SENDING else None
        about = {"id": next(_numbers), "digest_id": digest_id, "short_code": "", "lease_until": lease, **dates}
        add(database, deliveries, channel=channels[channel], status=status, **about)


def test_a_digest_is_late_while_a_message_of_it_waits_an_hour_after_its_time_for_a_day(database: Database) -> None:
    user(database, "ada")
    pending, sending, unknown = DeliveryStatus.PENDING, DeliveryStatus.SENDING, DeliveryStatus.UNKNOWN
    deliver(database, "ada", NOW - 61 * MINUTE, sms=pending, email=sending)  # one digest, two messages
    deliver(database, "ada", NOW - 59 * MINUTE, sms=pending)
    deliver(database, "ada", NOW - DAY - MINUTE, sms=pending)
    deliver(database, "ada", None, sms=pending)  # by hand
    deliver(database, "ada", NOW - 2 * HOUR, sms=unknown, email=DeliveryStatus.SENT)
    deliver(database, "ada", NOW - 2 * HOUR, sms=DeliveryStatus.FAILED)
    found = seen(database)
    assert found.late_digests == LateDigests(1, NOW - 61 * MINUTE)
    assert found.unsettled == {("email", "sending"): 1, ("sms", "pending"): 4, ("sms", "unknown"): 1}
    with database.write() as connection:
        connection.execute(update(deliveries).values(status=DeliveryStatus.SENT, lease_until=None))
    assert (seen(database).late_digests, seen(database).unsettled) == (LateDigests(0, None), {})


def test_users_are_counted_by_their_token_and_tables_by_their_rows(database: Database) -> None:
    for number, state in enumerate((TokenState.ACTIVE, TokenState.ACTIVE, TokenState.RECONNECT)):
        user(database, f"u{number}", token=state)
    found = seen(database)
    assert found.tokens == {"active": 2, "reconnect": 1}
    if database.backend == "sqlite":
        assert found.table_rows["users"] == 3
    assert {"users", "runs", "run_counts"} <= found.table_rows.keys()
    assert found.schema_version == SCHEMA_VERSION
    assert set(found.seconds) >= {"overdue", "failing", "ends"}


def test_the_part_of_the_fleet_that_waits_longest_is_told_and_an_earlier_division_is_not(database: Database) -> None:
    for shard, minutes in (("0", 60), ("1", 0), ("7", -600)):
        end(database, run(SUGGESTIONS, shard, minutes), state=RunState.DONE, at=NOW + minutes * MINUTE)
    end(database, run(SUGGESTIONS, "1", 90), reason=Reason.DEADLINE, at=NOW + 90 * MINUTE)
    end(database, run(SUGGESTIONS, "user:ada", 300), state=RunState.DONE, at=NOW + 300 * MINUTE)
    found = seen(database, shards=2)
    # The failure has removed the success before it from the book.
    assert [shard.last_success for shard in found.shards] == [NOW + HOUR, None]
    end(database, run(SUGGESTIONS, "1", 120), state=RunState.DONE, at=NOW + 120 * MINUTE)
    assert [shard.last_success for shard in seen(database, shards=2).shards] == [NOW + HOUR, NOW + 2 * HOUR]
    assert found.last_success["suggestions"] == NOW + 300 * MINUTE


def test_a_value_that_only_newer_code_knows_is_told_as_it_is(database: Database) -> None:
    end(database, run(), reason=Reason.UNAVAILABLE)
    with database.write() as connection:
        if database.backend == "postgresql":
            connection.exec_driver_sql("ALTER TABLE runs DROP CONSTRAINT IF EXISTS ck_runs_reason")
        else:
            connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
        connection.exec_driver_sql("UPDATE runs SET reason = 'eclipse'")
    assert seen(database).failing == {("sync", "eclipse"): 1}


def test_an_empty_database_has_no_trouble(database: Database) -> None:
    with database.write() as connection:
        connection.execute(delete(users))
    found = seen(database)
    assert (found.overdue.users, found.failing, found.abandoned, found.unsettled, found.late_digests) == (
        0,
        {},
        {},
        {},
        LateDigests(0, None),
    )
    assert found.last_success == {}
