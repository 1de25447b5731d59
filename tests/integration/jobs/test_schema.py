"""The migrations make the schema that the code declares, and a database that does not fit is refused in time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Executable, func, insert, inspect, select, text
from sqlalchemy.exc import StatementError

from catchup_contract.kinds import DIGEST, SYNC
from catchup_contract.outcomes import Reason
from catchup_jobs.adapters.database import migrate
from catchup_jobs.adapters.database.engine import Database, migration_engine
from catchup_jobs.adapters.database.schema import (
    SCHEMA_VERSION,
    VERSION_TABLE,
    dead_letters,
    metadata,
    pool_lists,
    pool_members,
    pool_slots,
    pool_ticks,
    runs,
    schema_info,
    users,
)
from catchup_jobs.adapters.database.url import parse_url
from catchup_jobs.jobs.run.errors import MisconfiguredError, PermanentError, TemporaryError

NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)


def user_row(user_id: str, **changes: object) -> dict[str, object]:
    return {
        "id": user_id,
        "name": "Ada",
        "time_zone": "Europe/Berlin",
        "digest_day": "Sunday",
        "digest_time": time(9),
        "sync_every": "30m",
        "created_at": NOW,
        "updated_at": NOW,
        **changes,
    }


def _checks(database: Database) -> dict[str, set[str]]:
    inspector = inspect(database.engine)
    return {
        table: {str(check["name"]) for check in inspector.get_check_constraints(table)}
        for table in inspector.get_table_names()
        if table != VERSION_TABLE
    }


def test_the_migrations_make_exactly_the_declared_schema(database: Database, tmp_path: Path) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []
    migrated = _checks(database)
    declared = Database.open(f"sqlite:///{tmp_path / 'declared.db'}")
    metadata.create_all(declared.engine)
    # PostgreSQL and SQLite name them alike: the naming convention holds on both.
    assert migrated == _checks(declared)
    declared.close()


def test_each_check_admits_the_same_values_as_the_code(migrated_template: Callable[[str], str], tmp_path: Path) -> None:
    # The same statements make both backends' tables; SQLite keeps their text as it was.
    migrated = Database.open(f"sqlite:///{migrated_template('sqlite')}")
    declared = Database.open(f"sqlite:///{tmp_path / 'declared.db'}")
    metadata.create_all(declared.engine)
    for table in metadata.tables:
        found, wanted = (
            {(check["name"], check["sqltext"]) for check in inspect(opened.engine).get_check_constraints(table)}
            for opened in (migrated, declared)
        )
        assert found == wanted
    migrated.close()
    declared.close()


def test_the_newest_migration_has_the_number_that_the_code_declares() -> None:
    scripts = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))
    assert scripts.get_current_head() == f"{SCHEMA_VERSION:04d}"


def test_upgrading_sets_the_version_and_is_idempotent(empty_database_url: str) -> None:
    first = migrate.upgrade(empty_database_url)
    assert (first.current, first.min_code, first.is_current) == (SCHEMA_VERSION, 1, True)
    assert migrate.upgrade(empty_database_url) == first


def test_two_upgrades_at_once_take_turns(empty_database_url: str) -> None:
    results: list[object] = []

    def run() -> None:
        try:
            results.append(migrate.upgrade(empty_database_url).current)
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [SCHEMA_VERSION, SCHEMA_VERSION]


@pytest.mark.parametrize("revision", [None, "0001"], ids=["missing", "older"])
def test_a_schema_that_does_not_fit_is_waited_for_then_temporary_with_the_command_to_run(
    empty_database_url: str, revision: str | None
) -> None:
    if revision is not None:
        _upgrade(empty_database_url, revision)
    database = Database.open(empty_database_url)
    clock, slept = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    with pytest.raises(TemporaryError, match=f"{revision or 'no schema'}.*catchup-jobs db migrate"):
        migrate.wait_for_schema(database, monotonic=lambda: clock[0], sleep=sleep)
    assert sum(slept) == migrate.WAIT_SECONDS
    database.close()


def test_a_schema_that_arrives_during_the_wait_ends_it(empty_database_url: str) -> None:
    database = Database.open(empty_database_url)
    migrate.wait_for_schema(database, sleep=lambda _: void(migrate.upgrade(empty_database_url)))
    database.close()


def void(_: object) -> None:
    return None


@pytest.mark.parametrize(
    ("version", "min_code", "refused"), [(999, 1, False), (999, SCHEMA_VERSION, False), (999, 999, True)]
)
def test_a_newer_schema_is_refused_only_where_it_declares_so(
    database: Database, version: int, min_code: int, refused: bool
) -> None:
    with database.write() as connection:
        connection.execute(schema_info.update().values(version=version, min_code=min_code))
    if refused:
        with pytest.raises(MisconfiguredError, match="upgrade catchup-jobs"):
            migrate.wait_for_schema(database)
    else:
        migrate.wait_for_schema(database)


def test_instants_come_back_as_aware_utc(database: Database) -> None:
    with database.write() as connection:
        local = NOW.astimezone(timezone(timedelta(hours=5, minutes=45)))
        connection.execute(users.insert(), user_row("ada", created_at=local))
    with database.read() as connection:
        stored = connection.execute(select(users.c.created_at)).scalar_one()
    assert (stored, stored.tzinfo) == (NOW, UTC)


def test_a_naive_instant_is_refused(database: Database) -> None:
    with pytest.raises(Exception, match="must be an aware datetime"), database.write() as connection:
        connection.execute(users.insert(), user_row("ada", created_at=NOW.replace(tzinfo=None)))


def test_user_ids_are_ordered_by_bytes(database: Database) -> None:
    ids = ["a-b", "ab", "a1", "a", "b", "1", "a--b", "aa"]
    with database.write() as connection:
        connection.execute(users.insert(), [user_row(user_id) for user_id in ids])
    with database.read() as connection:
        assert list(connection.execute(select(users.c.id).order_by(users.c.id)).scalars()) == sorted(ids)


def test_a_value_outside_an_enum_is_refused_by_the_database_itself(database: Database) -> None:
    with database.write() as connection:
        connection.execute(users.insert(), user_row("ada"))
    with pytest.raises(PermanentError) as caught, database.write() as connection:
        connection.execute(text("UPDATE users SET digest_day = 'Someday'"))
    assert "Someday" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_foreign_keys_hold_and_the_failed_block_leaves_nothing(database: Database) -> None:
    statements: list[Executable] = [
        users.insert().values(user_row("ada")),
        text("INSERT INTO manual_blocks VALUES ('bob', 'MO', '09:00:00', '10:00:00')"),
    ]
    with pytest.raises(PermanentError):
        _execute_all(database, statements)
    with database.read() as connection:
        assert connection.execute(select(users.c.id)).all() == []


def _execute_all(database: Database, statements: list[Executable]) -> None:
    with database.write() as connection:
        for statement in statements:
            connection.execute(statement)


def test_an_insert_can_update_on_conflict_on_each_backend(database: Database) -> None:
    statement = database.insert(users).values(user_row("ada"))
    statement = statement.on_conflict_do_update(index_elements=["id"], set_={"name": statement.excluded.name})
    with database.write() as connection:
        connection.execute(statement)
        connection.execute(statement)
        assert connection.execute(select(users.c.name)).scalars().all() == ["Ada"]


def _upgrade(url: str, revision: str) -> None:
    engine = migration_engine(parse_url(url))
    with engine.begin() as connection:
        migrate._run_alembic(connection, revision)
    engine.dispose()


def test_what_the_older_code_stored_is_still_there_after_the_upgrade_and_it_may_go_on(empty_database_url: str) -> None:
    _upgrade(empty_database_url, "0001")
    stored = [
        (
            "INSERT INTO users (id, name, time_zone, digest_day, digest_time, sync_every, created_at, updated_at)"
            " VALUES ('ada', 'Ada', 'Europe/Berlin', 'Sunday', '09:00:00.000000', '30m', :now, :now)"
        ),
        (
            "INSERT INTO runs (run_key, kind, subject, state, reason, attempts, started_at)"
            " VALUES (:key, 'sync', 'ada', 'failed', 'budget_spent', 4, :now)"
        ),
        (
            "INSERT INTO dead_letters (run_key, kind, subject, reason, error_class, attempts, created_at)"
            " VALUES (:key, 'sync', 'ada', 'unavailable', 'TemporaryError', 4, :now)"
        ),
    ]
    values = {"now": "2026-11-23 08:30:00.000000", "key": "sync:ada:1"}
    database = Database.open(empty_database_url)
    with database.write() as connection:
        for statement in stored:
            connection.execute(text(statement), values)
    found = migrate.upgrade(empty_database_url)
    assert (found.current, found.min_code) == (SCHEMA_VERSION, 1)
    with database.write() as connection:
        for table in (users, runs, dead_letters):
            assert connection.execute(select(func.count()).select_from(table)).scalar_one() == 1
        # The statement of the older code, which knows none of the new columns.
        connection.execute(text(stored[0].replace("'ada'", "'bob'")), values)
        connection.execute(text(stored[1]), values | {"key": "sync:ada:2"})
    database.close()


def test_pools_that_were_there_before_ticks_were_noted_count_as_having_run_at_the_upgrade(
    empty_database_url: str,
) -> None:
    _upgrade(empty_database_url, "0014")
    before = datetime.now(UTC)
    database = Database.open(empty_database_url)
    with database.write() as connection:
        connection.execute(insert(pool_lists).values(pool="people", digest="x"))
    migrate.upgrade(empty_database_url)
    with database.read() as connection:
        ((pool, at),) = connection.execute(select(pool_ticks))
    database.close()
    assert (pool, before <= at <= datetime.now(UTC)) == ("people", True)


def test_members_of_before_have_the_time_of_their_last_sync(empty_database_url: str) -> None:
    _upgrade(empty_database_url, "0016")
    database = Database.open(empty_database_url)
    with database.write() as connection:
        for user_id in ("ada", "bob"):
            user = (
                "INSERT INTO users (id, name, time_zone, digest_day, digest_time, sync_every, created_at, updated_at)"
                " VALUES (:id, 'Ada', 'Europe/Berlin', 'Sunday', '09:00:00.000000', '30m', :now, :now)"
            )
            connection.execute(text(user), {"id": user_id, "now": "2026-11-23 08:30:00.000000"})
            connection.execute(insert(pool_members).values(user_id=user_id, pool="people", digest_since=NOW))
            for kind in ("sync", "digest"):
                slot = "INSERT INTO pool_slots (user_id, kind, pool, bucket) VALUES (:id, :kind, 'people', 0)"
                connection.execute(text(slot), {"id": user_id, "kind": kind})
    ended = [("ada", SYNC, "done", 2), ("ada", SYNC, "done", 1), ("ada", SYNC, "failed", 0), ("bob", SYNC, "failed", 0)]
    with database.write() as connection:
        for user_id, of_kind, state, hours in [*ended, ("bob", DIGEST, "done", 0)]:
            run = {"run_key": f"{of_kind}:{user_id}:{hours}", "kind": of_kind, "subject": user_id, "state": state}
            started = NOW - timedelta(hours=hours)
            connection.execute(runs.insert().values(**run, attempts=1, started_at=started))
    migrate.upgrade(empty_database_url)
    with database.read() as connection:
        rows = connection.execute(select(pool_slots.c.user_id, pool_slots.c.kind, pool_slots.c.synced_at))
        found = {(row.user_id, row.kind): row.synced_at for row in rows}
    database.close()
    assert found == {
        ("ada", SYNC): NOW - timedelta(hours=1),
        ("ada", DIGEST): None,
        ("bob", SYNC): None,
        ("bob", DIGEST): None,
    }


def test_a_reason_that_the_contract_does_not_have_is_refused_before_it_is_stored(database: Database) -> None:
    run = {"run_key": "sync:ada:1", "kind": SYNC, "subject": "ada", "state": "done", "attempts": 1, "started_at": NOW}
    with database.write() as connection:
        connection.execute(runs.insert().values(run))
    with pytest.raises(StatementError, match="not a reason"), database.write() as connection:
        connection.execute(runs.update().values(reason="because"))
    with database.write() as connection:
        for reason in Reason:
            connection.execute(runs.update().values(reason=reason))
            assert connection.execute(select(runs.c.reason)).scalar_one() is reason


def test_a_calendar_error_that_no_version_writes_any_more_becomes_unavailable(empty_database_url: str) -> None:
    _upgrade(empty_database_url, "0003")
    database = Database.open(empty_database_url)
    with database.write() as connection:
        connection.execute(users.insert(), user_row("ada"))
        for google_id, error in (("old", "quota"), ("other", "forbidden")):
            connection.execute(
                text(
                    "INSERT INTO calendars (user_id, google_id, summary, is_primary, access_role, selected, last_error)"
                    " VALUES ('ada', :google_id, '', false, 'owner', true, :error)"
                ),
                {"google_id": google_id, "error": error},
            )
        connection.execute(
            text(
                "INSERT INTO events (calendar_id, google_id, status, busy, start_date, end_date)"
                " SELECT id, 'e', 'confirmed', true, '2026-11-29', '2026-11-30' FROM calendars"
            )
        )
    migrate.upgrade(empty_database_url)
    with database.read() as connection:
        errors = connection.execute(text("SELECT google_id, last_error FROM calendars ORDER BY google_id")).all()
        assert [tuple(row) for row in errors] == [("old", "unavailable"), ("other", "forbidden")]
        assert connection.execute(text("SELECT count(*) FROM events")).scalar_one() == 2
    with pytest.raises(PermanentError), database.write() as connection:
        connection.execute(text("UPDATE calendars SET last_error = 'quota'"))
    database.close()


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("runs", "kind"),
        ("dead_letters", "kind"),
        ("runs", "reason"),
        ("dead_letters", "reason"),
        ("addresses", "channel"),
        ("consents", "channel"),
        ("deliveries", "channel"),
    ],
)
def test_a_new_kind_channel_or_reason_needs_no_migration(database: Database, table: str, column: str) -> None:
    checks = inspect(database.engine).get_check_constraints(table)
    assert f"ck_{table}_{column}" not in {check["name"] for check in checks}
