"""What a reading of `catchup-jobs metrics` costs PostgreSQL at 100,000 users, and what the exporter weighs.

    python tests/benchmarks/metrics.py [--users 100000]

Each user has a token, a calendar, a sync and a digest run, the digests of 13 weeks, and is a member of one of four
pools. Two fleets are read: a calm one in which one user of a hundred fails, and one in which Google has been away for
an hour, so that every second user fails.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / name) for name in ("contract", "jobs_image", "dev", "tests")]

import psycopg  # noqa: E402
from integration.services import PostgresServer, postgres_server  # noqa: E402

from catchup_jobs.adapters.database.engine import Database  # noqa: E402
from catchup_jobs.adapters.database.metrics.snapshot import Answers, Snapshot, take  # noqa: E402
from catchup_jobs.adapters.database.migrate import upgrade  # noqa: E402

FULL: Final = 10
ROUNDS: Final = 100
EVERY: Final = timedelta(seconds=30)
FLEET: Final = (
    """INSERT INTO users (id, name, time_zone, digest_day, digest_time, sync_every, created_at, updated_at)
       SELECT 'u' || n, 'Name', 'Europe/Berlin', 'Sunday', '09:00', '30m', now() - interval '90 days', now()
       FROM generate_series(1, {users}) n""",
    """INSERT INTO oauth_tokens (user_id, provider, key_id, ciphertext, state, version, updated_at)
       SELECT 'u' || n, 'google', 'k', decode(repeat('00', 400), 'hex'),
              CASE WHEN n % 50 = 1 THEN 'reconnect' ELSE 'active' END, 1, now() FROM generate_series(1, {users}) n""",
    """INSERT INTO calendars (user_id, google_id, summary, is_primary, access_role, selected, last_success_at)
       SELECT 'u' || n, 'primary', 'Calendar', true, 'owner', true, now() - interval '2 hours'
       FROM generate_series(1, {users}) n""",
    """INSERT INTO runs (run_key, kind, subject, slot, state, reason, attempts, started_at, finished_at)
       SELECT kind || ':u' || n || ':' || slot, kind, 'u' || n, now(),
              CASE WHEN n % {failing} = 0 AND kind = 'sync' THEN 'failed' ELSE 'done' END,
              CASE WHEN n % {failing} = 0 AND kind = 'sync' THEN 'budget_spent' END, 1,
              now() - slot * interval '30 minutes', now()
       FROM generate_series(1, {users}) n, (VALUES ('sync', 1), ('sync', 2), ('digest', 3)) AS job (kind, slot)
       WHERE kind = 'digest' OR slot = 1 OR n % {failing} = 0""",
    """INSERT INTO digests (user_id, due_date, due_at, created_at, updated_at)
       SELECT 'u' || n, current_date - 7 * week, now() - week * interval '7 days' - interval '3 hours', now(), now()
       FROM generate_series(1, {users}) n, generate_series(0, 12) week""",
    """INSERT INTO deliveries (digest_id, channel, status, short_code, created_at, updated_at)
       SELECT id, 'sms', CASE WHEN id % 1000 = 0 THEN 'pending' ELSE 'sent' END, '', now(), now() FROM digests""",
    """INSERT INTO dead_letters (run_key, kind, subject, reason, error_class, attempts, created_at)
       SELECT 'sync:u' || n, 'sync', 'u' || n, 'unavailable', 'TemporaryError', 4, now()
       FROM generate_series(1, {users} / 100) n""",
    """INSERT INTO pool_members (user_id, pool, digest_since, sync_every)
       SELECT 'u' || n, 'pool-' || n % 4, now(), '30m' FROM generate_series(1, {users}) n""",
    """INSERT INTO pool_slots (user_id, kind, pool, bucket, version, due_at, synced_at)
       SELECT 'u' || n, kind, 'pool-' || n % 4, n % 65536, 'v',
              now() + (n % 1800 - CASE WHEN n % {failing} = 0 AND kind = 'sync' THEN 7200 ELSE 0 END) * interval '1 s',
              CASE WHEN kind = 'sync' AND n % 100 > 0 THEN now() - n % 1800 * interval '1 s' END
       FROM generate_series(1, {users}) n, (VALUES ('sync'), ('digest')) AS kinds (kind)""",
    """INSERT INTO run_counts (hour, kind, state, reason, stripe, runs, seconds)
       SELECT date_trunc('hour', now()) - hour * interval '1 hour', kind, state, reason, stripe, 1000, 3000
       FROM generate_series(0, 14 * 24) hour, (VALUES ('sync'), ('digest'), ('suggestions')) AS kinds (kind),
            (VALUES ('done', ''), ('done', 'partial'), ('skipped', 'not_due'), ('failed', 'budget_spent'),
                    ('retry', 'unavailable')) AS ends (state, reason), generate_series(0, 3) stripe""",
    "ANALYZE",
)


def filled(server: PostgresServer, name: str, users: int, failing: int) -> str:
    server.create(name)
    url = server.url(name)
    upgrade(url)
    database = Database.open(url)
    with database.write() as connection:
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        for statement in FLEET:
            connection.exec_driver_sql(statement.format(users=users, failing=failing).replace("%", "%%"))
    # The engine begins a transaction by itself, in which there is no VACUUM.
    with psycopg.connect(url, autocommit=True) as plain:
        plain.execute("VACUUM ANALYZE")
    database.close()
    return url


def read(url: str) -> tuple[Snapshot, float, float]:
    """Return a full reading, and PostgreSQL's CPU milliseconds for a reading: in the mean, and for a full one."""
    database = Database.open(url)
    try:
        with database.read() as connection:  # the pool has one connection, while nobody else wants any
            backend = Path(f"/proc/{connection.exec_driver_sql('SELECT pg_backend_pid()').scalar_one()}/stat")
        take(database, datetime.now(UTC), shards=1)
        before = _cpu_seconds(backend)
        for _ in range(FULL):
            snapshot = take(database, datetime.now(UTC), shards=1)
        full = (_cpu_seconds(backend) - before) / FULL * 1000
        # As the exporter reads, of which time is not waited for.
        earlier = Answers(10 * EVERY)
        now = datetime.now(UTC)
        before = _cpu_seconds(backend)
        for number in range(ROUNDS):
            take(database, now + number * EVERY, shards=1, earlier=earlier)
        return snapshot, (_cpu_seconds(backend) - before) / ROUNDS * 1000, full
    finally:
        database.close()


def _cpu_seconds(stat: Path) -> float:
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def exporter(url: str) -> tuple[float, float]:
    """Return the resident memory in MB of an exporter after many scrapes, and the time of a cached scrape in ms."""
    program = "import sys; sys.modules['rich'] = None; from catchup_jobs.cli import main; main()"
    command = [sys.executable, "-c", program, "metrics", "--port", "0"]
    paths = os.pathsep.join(str(ROOT / name) for name in ("contract", "jobs_image"))
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": paths, "CATCHUP_DATABASE_URL": url}
    env["CATCHUP_REDIS_URL"] = "redis://127.0.0.1:1/0"
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    try:
        lines = iter(process.stderr.readline, "")
        port = next(found[1] for line in lines if (found := re.search(r"on port (\d+)", line)))
        times = []
        for _ in range(50):
            started = time.perf_counter()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as reply:
                text = reply.read().decode()
            times.append(time.perf_counter() - started)
        (resident,) = re.findall(r"^process_resident_memory_bytes (\S+)$", text, re.MULTILINE)
        return float(resident) / 1e6, statistics.median(times) * 1000
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100_000)
    users = parser.parse_args().users
    with postgres_server() as server:
        for name, failing in (("calm", 100), ("outage", 2)):
            url = filled(server, name, users, failing)
            snapshot, cpu, full = read(url)
            wall = sum(snapshot.seconds.values()) * 1000
            print(
                f"{name}: {users} users, {snapshot.overdue.users} overdue: {cpu:.1f} ms of PostgreSQL's CPU a reading"
            )
            print(f"  {full:.1f} ms where everything is asked, {wall:.1f} ms by the clock, of which")
            for question, seconds in sorted(snapshot.seconds.items(), key=lambda item: -item[1])[:5]:
                print(f"  {question:<16} {seconds * 1000:6.1f} ms")
        memory, cached = exporter(url)
        print(f"exporter: {memory:.0f} MB resident, {cached:.1f} ms for a scrape of what was read before")


if __name__ == "__main__":
    main()
