"""How much the database holds per user, table by table, once housekeeping and new data are in balance.

Run by `make bench`, or alone: `python tests/benchmarks/sizes.py --help`. The users are those of the suggestions'
benchmark (50 contacts, 200 events), whose suggestions are planned by the job itself; then what a year leaves behind is
added: answered and expired suggestions, the digests of 90 days with both channels, free slots, addresses, the latest
runs, and a few failures. PostgreSQL counts a table with its indexes and long values; the same rows are then copied into
a SQLite file.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

ROOT: Final = Path(__file__).parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT / name) for name in ("tests", "contract", "jobs_image", "dev")]

from benchmarks.suggestions import NOW, fill, in_a_process  # noqa: E402 - where the line above finds it

if TYPE_CHECKING:
    from sqlalchemy import Engine

# Suggestions that a year leaves behind: those that the user saw are kept for a year, others for 90 days; three a week.
_OLD_SUGGESTIONS: Final = 150
_DIGESTS: Final = {"weekly": 13, "daily": 90}
_ITEMS: Final = 8
_ROWS_AT_ONCE: Final = 1000

# What Fernet makes of a token pair and of an address: so many bytes.
_TOKEN_BYTES: Final = 760
_ADDRESS_BYTES: Final = 180
_AGE: Final = """
UPDATE oauth_tokens SET key_id = repeat('k', 16), account = repeat('a', 64), ciphertext = {token};
INSERT INTO addresses (user_id, channel, mode, key_id, ciphertext, lookup, updated_at)
SELECT id, channel, 'on', repeat('k', 16), {address}, md5(id || channel) || md5(channel || id), '{now}'
FROM users, unnest(ARRAY['sms', 'email']) channel;
INSERT INTO consents (channel, lookup, consented_at, updated_at)
SELECT 'sms', lookup, '{now}', '{now}' FROM addresses WHERE channel = 'sms';
INSERT INTO free_slots SELECT id, timestamptz '{now}' + day * interval '1 day' + part * interval '3 hours',
       timestamptz '{now}' + day * interval '1 day' + part * interval '3 hours' + interval '2 hours'
FROM users, generate_series(0, 29) day, generate_series(0, 3) part;
INSERT INTO suggestions (user_id, contact_id, trigger, status, mode, start_at, end_at, reasoning, expiry_reason,
                         delivered_at, answered_at, created_at, updated_at)
SELECT u.id, (SELECT min(c.id) FROM contacts c WHERE c.user_id = u.id) + n % 50, 'time_bound',
       (ARRAY['accepted', 'dismissed', 'expired'])[1 + n % 3], 'call',
       timestamptz '{now}' - n * interval '2 days', timestamptz '{now}' - n * interval '2 days' + interval '1 hour',
       '42 days since you last met; you aim for monthly', CASE WHEN n % 3 = 2 THEN 'passed' END,
       timestamptz '{now}' - n * interval '2 days', '{now}', '{now}', '{now}'
FROM users u, generate_series(1, {suggestions}) n;
INSERT INTO digests (user_id, due_date, due_at, content, delivered_mark, created_at, updated_at)
SELECT u.id, (timestamptz '{now}' - d * interval '1 day' * {every})::date, '{now}',
       (SELECT json_agg(json_build_object('suggestion_id', i, 'contact', 'Contact ' || i, 'start_at', '{now}',
               'end_at', '{now}', 'mode', 'call', 'reason', '42 days since you last met; you aim for monthly',
               'contact_zone', 'Europe/Berlin')) FROM generate_series(1, {items}) i), '{now}', '{now}', '{now}'
FROM users u, generate_series(1, {digests}) d;
INSERT INTO deliveries (digest_id, channel, status, attempts, attempt_id, attempted_at, address_lookup, short_code,
                        provider_id, provider_status, provider_final, created_at, updated_at)
SELECT d.id, channel, 'sent', 1, gen_random_uuid()::text, '{now}', repeat('h', 64), 'ABCDEF',
       'SM' || md5(d.id::text), 'delivered', true, '{now}', '{now}'
FROM digests d, unnest(ARRAY['sms', 'email']) channel;
INSERT INTO runs (run_key, kind, subject, slot, state, reason, attempts, counts, started_at, finished_at)
SELECT kind || ':' || u.id || ':' || n, kind, u.id, '{now}', CASE WHEN n = 0 THEN 'done' ELSE 'failed' END,
       CASE WHEN n > 0 THEN 'budget_spent' END, 0,
       '{{"calendars": 1, "eventsAdded": 0, "incrementalSyncs": 1, "apiRequests": 2, "pages": 2, "freeSlots": 120}}',
       '{now}', '{now}'
FROM users u, unnest(ARRAY['sync', 'digest']) kind, generate_series(0, 2) n;
INSERT INTO dead_letters SELECT run_key, kind, subject, slot, reason, 'TemporaryError', 4, '{now}'
FROM runs WHERE state = 'failed';
"""


def age(url: str, digests: str) -> None:
    """Add what a year leaves behind."""
    import psycopg  # noqa: PLC0415

    number = _DIGESTS[digests]
    script = _AGE.format(
        now=NOW.isoformat(),
        token=_random_bytes(_TOKEN_BYTES),
        address=_random_bytes(_ADDRESS_BYTES),
        suggestions=_OLD_SUGGESTIONS,
        digests=number,
        every=90 // number,
        items=_ITEMS,
    )
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in script.split(";\n"):
            if statement.strip():
                connection.execute(statement)
        connection.execute("VACUUM ANALYZE")


def _random_bytes(count: int) -> str:
    # Sealed text does not compress: it must not be the same byte again and again.
    words = -(-count // 32)
    pieces = "decode(string_agg(md5(random()::text), ''), 'hex')"
    return (
        f"(SELECT substring({pieces} || {pieces} FROM 1 FOR {count})"  # noqa: S608 - of numbers
        f" FROM generate_series(1, {words}))"
    )


def table_sizes(engine: Engine) -> dict[str, int]:
    """Return the bytes of each table, with its indexes and long values."""
    from sqlalchemy import text  # noqa: PLC0415

    statement = text(
        "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r' AND relname = :name"
    )
    from catchup_jobs.adapters.database.schema import metadata  # noqa: PLC0415

    with engine.connect() as connection:
        found = [connection.execute(statement, {"name": name}).one() for name in metadata.tables]
    return dict(found)


def copy_into_sqlite(engine: Engine, path: Path) -> int:
    """Copy all rows into a SQLite file with the same schema; return its size."""
    from sqlalchemy import insert, select  # noqa: PLC0415

    from catchup_jobs.adapters.database.engine import Database  # noqa: PLC0415
    from catchup_jobs.adapters.database.migrate import upgrade  # noqa: PLC0415
    from catchup_jobs.adapters.database.schema import metadata, schema_info  # noqa: PLC0415

    url = f"sqlite:///{path}"
    upgrade(url)
    target = Database.open(url)
    with engine.connect() as source, target.write() as connection:
        for table in metadata.sorted_tables:
            if table is schema_info:
                continue
            for page in source.execute(select(table)).mappings().partitions(_ROWS_AT_ONCE):
                connection.execute(insert(table), [dict(row) for row in page])
    target.close()
    with sqlite3.connect(path) as vacuumed:
        vacuumed.execute("VACUUM")
        vacuumed.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    vacuumed.close()
    return path.stat().st_size


def measure(users: int, digests: str) -> None:
    """Fill, measure, and print a line per table."""
    from integration.services import postgres_server  # noqa: PLC0415

    from catchup_jobs.adapters.database.engine import Database  # noqa: PLC0415
    from catchup_jobs.adapters.database.migrate import upgrade  # noqa: PLC0415

    with postgres_server() as server, tempfile.TemporaryDirectory() as directory:
        url = server.url("postgres")
        upgrade(url)
        fill(url, users)
        in_a_process(url, 50)
        age(url, digests)
        database = Database.open(url)
        sizes = table_sizes(database.engine)
        small = copy_into_sqlite(database.engine, Path(directory) / "catchup.db")
        database.close()
    say(f"{users} users, digests {digests}: bytes per user on PostgreSQL, with indexes")
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        if size / users >= 1:
            say(f"  {name:<16} {size / users:>10,.0f}")
    say(f"  {'all':<16} {sum(sizes.values()) / users:>10,.0f}")
    say(f"the same in a SQLite file: {small / users:,.0f} bytes per user")


def say(line: Any) -> None:
    """Print at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Measure each choice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--digests", choices=[*_DIGESTS], nargs="+", default=[*_DIGESTS])
    options = parser.parse_args()
    for digests in options.digests:
        measure(options.users, digests)
    return 0


if __name__ == "__main__":
    sys.exit(main())
