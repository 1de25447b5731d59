"""The schema's version: migrate a database, read its version, wait until it fits this code."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError

from catchup_contract.outcomes import Reason
from catchup_jobs.adapters.database.engine import Database, migration_engine
from catchup_jobs.adapters.database.errors import classify
from catchup_jobs.adapters.database.hints import MIGRATE_HINT, TAKEN
from catchup_jobs.adapters.database.schema import SCHEMA_VERSION, VERSION_TABLE, metadata, schema_info
from catchup_jobs.adapters.database.url import parse_url
from catchup_jobs.jobs.run.errors import MisconfiguredError, PermanentError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_SECONDS: Final = 60.0
"""How long a job waits for the schema that it needs."""
_POLL_SECONDS: Final = 2.0
"""How often a job that waits for the schema looks for it."""
_MIGRATIONS: Final = Path(__file__).parent / "migrations"
# An arbitrary number, the same in every process: concurrent upgrades take turns.
_ADVISORY_LOCK: Final = 0x43415443
_SCHEMA_OF_ROLE: Final = "SELECT current_schema()"
# What earlier versions counted their migrations in: Alembic's default name.
_OLD_VERSION_TABLE: Final = "alembic_version"


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """The version of a database's schema.

    Attributes:
        backend: `sqlite` or `postgresql`.
        current: number of the newest migration applied, 0 for none.
        wanted: number that this code needs at least.
        min_code: the oldest code (by its `wanted`) that may still use this database, 0 without a schema.
    """

    backend: str
    current: int
    wanted: int
    min_code: int

    @property
    def is_current(self) -> bool:
        """Whether all migrations are applied."""
        return self.current >= self.wanted

    @property
    def refuses_us(self) -> bool:
        """Whether the database needs newer code than this."""
        return self.min_code > self.wanted


def status(database: Database) -> SchemaStatus:
    """Read the version of the schema.

    Raises:
        JobError: the database cannot be reached.
    """
    with database.read() as connection:
        version, min_code = _versions(connection)
    return SchemaStatus(database.backend, version, SCHEMA_VERSION, min_code)


def _versions(connection: Connection) -> tuple[int, int]:
    if not inspect(connection).has_table(schema_info.name):
        # Without USAGE on its schema a table is not seen.
        if connection.dialect.name == "postgresql" and connection.exec_driver_sql(_SCHEMA_OF_ROLE).scalar() is None:
            raise MisconfiguredError(
                "no schema of the role's search_path is there, or the role may not use it: grant it USAGE, and CREATE"
                " for `db migrate`"
            )
        return 0, 0
    rows = connection.execute(text(f"SELECT * FROM {schema_info.name}")).mappings().fetchmany(2)  # noqa: S608
    match [(row.get("version"), row.get("min_code")) for row in rows]:
        case [(int(version), int(min_code))]:
            return version, min_code
        case _:
            raise MisconfiguredError(TAKEN.format(names=f" ({schema_info.name})"))


def upgrade(url: str) -> SchemaStatus:
    """Apply all missing migrations in one transaction; concurrent upgrades take turns.

    Raises:
        MisconfiguredError: the database declares that it needs newer code than this, or contradicts itself.
        JobError: the database cannot be reached, or refused.
    """
    with closing(Database.open(url)) as database:
        before = status(database)
    _refuse_if_newer(before)
    if before.is_current:
        return before
    engine = migration_engine(parse_url(url))
    try:
        with engine.connect() as connection, connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
            _refuse_other_encodings(connection)
            _refuse_foreign_tables(connection)
            _run_alembic(connection)
            if engine.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                raise PermanentError("the migration would leave rows that refer to missing ones; nothing was changed")
    except SQLAlchemyError as error:
        classified = classify(error)
        if classified is None:
            raise
        raise classified from None
    finally:
        engine.dispose()
    with closing(Database.open(url)) as database:
        after = status(database)
    if not after.is_current:
        raise MisconfiguredError(
            f"{VERSION_TABLE} counts every migration as applied, and {schema_info.name} is at {after.current:04d}: the"
            " tables are not of one backup; restore them from one"
        )
    return after


def _refuse_other_encodings(connection: Connection) -> None:
    if connection.dialect.name != "postgresql":
        return
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding != "UTF8":
        raise MisconfiguredError(
            f"the database's encoding is {encoding}, which cannot hold everybody's names: make one with"
            " `CREATE DATABASE catchup ENCODING 'UTF8' TEMPLATE template0`"
        )


def _refuse_foreign_tables(connection: Connection) -> None:
    tables = set(inspect(connection).get_table_names())
    if schema_info.name not in tables and (taken := sorted(tables & set(metadata.tables))):
        raise MisconfiguredError(TAKEN.format(names=f" ({', '.join(taken)})"))


def _run_alembic(connection: Connection, revision: str = "head") -> None:
    # The import costs 0.4 s of CPU.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    if (carried_over := _take_old_version(connection)) is not None:
        command.stamp(config, carried_over)
    command.upgrade(config, revision)


def _take_old_version(connection: Connection) -> str | None:
    """Return the version of a schema whose own version table is missing, as earlier installs left it.

    They counted in Alembic's table, which goes if it holds nothing but that version: the application's stays.
    """
    tables = set(inspect(connection).get_table_names())
    if VERSION_TABLE in tables or schema_info.name not in tables:
        return None
    version = f"{connection.execute(select(schema_info.c.version)).scalar_one():04d}"
    if _OLD_VERSION_TABLE in tables:
        counted = connection.execute(text(f"SELECT version_num FROM {_OLD_VERSION_TABLE}")).scalars().all()  # noqa: S608
        if counted == [version]:
            connection.execute(text(f"DROP TABLE {_OLD_VERSION_TABLE}"))
    return version


def wait_for_schema(
    database: Database,
    *,
    wait_seconds: float = WAIT_SECONDS,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Wait until the schema fits this code, while it is missing or older: a migration may be running.

    Args:
        stopping: whether a termination was requested; it ends the wait.

    Raises:
        TemporaryError: it does not fit after `wait_seconds`; the message names the command that migrates it.
        MisconfiguredError: the database declares that it needs newer code than this.
        JobError: the database cannot be reached.
    """
    deadline = monotonic() + wait_seconds
    while True:
        schema = status(database)
        _refuse_if_newer(schema)
        if schema.is_current:
            return
        if stopping():
            raise TemporaryError("stopped while waiting for the database's schema", reason=Reason.TERMINATED)
        remaining = deadline - monotonic()
        if remaining <= 0:
            what = "has no schema yet" if schema.current == 0 else f"is at revision {schema.current:04d}"
            raise TemporaryError(f"the database {what}, this version needs {schema.wanted:04d}: {MIGRATE_HINT}")
        sleep(min(_POLL_SECONDS, remaining))


def _refuse_if_newer(schema: SchemaStatus) -> None:
    if schema.refuses_us:
        raise MisconfiguredError(
            f"the database needs code of revision {schema.min_code:04d} or newer, this is {schema.wanted:04d}:"
            " upgrade catchup-jobs"
        )
