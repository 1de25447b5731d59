"""What a user costs in a pool: CPU of the pool's pod a user and its peak memory, beside a pod of the user's own.

Run by `make bench`, or alone: `python tests/benchmarks/pool.py --help`. PostgreSQL, Redis and the doubles of Google and
of a mail server (both by TLS) run as processes and threads beside it, and are not counted. Every user has 50 events, of
which none has changed, or three suggestions for an email. The cost a user is the difference of a large and a small tick
by the difference of their users, so that the start of the process is no part of it. The least of several rounds is
shown, since noise only ever adds.

With `--interval` the ticks of the sync of 30 minutes are played one after the other instead, by pods whose clocks go on
from minute to minute: each finds the members whose own slots are due then. The first one also has all of them to
compute anew, as after a release with other zone data. What it took is shown beside the 30 minutes, with the load of
the machine before and after.
"""

from __future__ import annotations

import argparse
import json
import os
import ssl
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
from cryptography.fernet import Fernet

from catchup_contract.cadence import Cadence
from catchup_contract.timestamps import format_utc
from catchup_dev.doubles.google.client import GoogleDouble
from catchup_dev.doubles.google.server import running
from catchup_dev.doubles.smtp.server import running as smtp_running
from catchup_jobs.adapters.database.calendars.tokens import DatabaseTokens
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.encryption import Encryption
from catchup_jobs.domain.calendar.access_token import OAuthToken

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.pods import CLIENT, EMAIL, EVENTS, Cost, Subject, run
from integration.redis_kinds import Authority
from integration.services import postgres_server, redis_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from catchup_dev.doubles.smtp.control import Control as MailControl

POOL: Final = "bench"
# Minutes: the default of a pool.
_INTERVAL: Final = 30
_MINUTE: Final = timedelta(minutes=1)
_CONTACTS: Final = 3
# Members of the pool who are never due.
_OTHERS: Final = """
INSERT INTO users (id, name, time_zone, digest_day, digest_time, sync_every, created_at, updated_at)
SELECT 'other-' || n, 'Other', 'Europe/Berlin', 'Sunday', '09:00', '30m', now(), now()
FROM generate_series(1, {others}) n;
INSERT INTO pool_enrolments (user_id, pool, since) SELECT id, '{pool}', now() FROM users WHERE id LIKE 'other-%';
INSERT INTO pool_members (user_id, pool, digest_since, sync_every)
SELECT id, '{pool}', now(), '30m' FROM users WHERE id LIKE 'other-%';
INSERT INTO pool_slots (user_id, kind, pool, bucket, version, due_at)
SELECT u.id, like_them.kind, '{pool}', abs(hashtext(u.id)) % 65536, like_them.version, now() + interval '20 minutes'
FROM users u, (SELECT kind, version FROM pool_slots WHERE user_id = 'user-00000') like_them WHERE u.id LIKE 'other-%';
ANALYZE;
"""
_SUGGESTIONS: Final = """
INSERT INTO suggestions (user_id, contact_id, trigger, status, mode, start_at, end_at, reasoning, created_at,
                         updated_at)
SELECT user_id, id, 'time_bound', 'pending', 'call', at, at + interval '1 hour',
       '42 days since you last met; you aim for monthly', now(), now()
FROM (SELECT *, date_trunc('hour', now()) + (2 + id % 5) * interval '1 day' AS at FROM contacts) AS with_time;
"""


@dataclass(frozen=True)
class World:
    """An installation with members of a pool."""

    environment: dict[str, str]
    postgres_url: str
    mail: MailControl

    def tick(self, tick: str, users: int) -> tuple[Cost, float]:
        """Make one tick of a kind (`_TICKS`) with so many members due; return its cost and the seconds it took.

        Raises:
            SystemExit: not everybody was served.
        """
        self._make_due(tick, users)
        self.mail.reset()
        started = time.monotonic()
        cost = run(Subject(f"{tick} of {users}", (_TICKS[tick], "--pool", POOL), self.environment))
        seconds = time.monotonic() - started
        mails = len(self.mail.messages())
        if mails != (users if tick == "digest by email" else 0):
            sys.exit(f"{tick} of {users} users sent {mails} emails")
        return cost, seconds

    def _make_due(self, tick: str, users: int) -> None:
        """Make so many members due, and no others."""
        kind = _TICKS[tick]
        with psycopg.connect(self.postgres_url, autocommit=True) as connection:
            # Sooner than after an interval: who is due later is computed anew, as after a clock that was ahead.
            connection.execute("UPDATE pool_slots SET due_at = now() + interval '20 minutes'")
            connection.execute(
                "UPDATE pool_slots SET due_at = now() - interval '1 minute' WHERE kind = %s AND user_id IN"
                " (SELECT user_id FROM pool_members WHERE user_id LIKE 'user-%%' ORDER BY user_id LIMIT %s)",
                (kind, users),
            )
            # Half an hour after the digest's time, so that all are due for today.
            connection.execute("UPDATE pool_members SET digest_since = now() - interval '7 days'")
            connection.execute(
                "UPDATE users SET digest_day = 'Daily',"
                " digest_time = date_trunc('minute', now() AT TIME ZONE 'Europe/Berlin' - interval '30 minutes')::time"
            )
            connection.execute("DELETE FROM digests")
            connection.execute("DELETE FROM suggestions")
            if tick == "digest by email":
                connection.execute(_SUGGESTIONS)
            # A slot's run ends once: another round needs it undone.
            connection.execute("DELETE FROM runs")


@contextmanager
def world(users: int, others: int = 0) -> Iterator[World]:
    """Yield an installation in which so many members are connected and were synced once, among others."""
    with (
        tempfile.TemporaryDirectory() as directory,
        running() as google,
        smtp_running(tls=True) as smtp,
        postgres_server() as postgres,
        redis_server() as redis,
    ):
        authority = Authority.make(Path(directory))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.certificate, authority.key)
        google.control.add_client(*CLIENT)
        double = GoogleDouble(google.url)
        double.add_user(EMAIL, "Europe/Berlin")
        for number in range(EVENTS):
            double.add_event(EMAIL, f"e{number}", f"Event {number}", at=f"+{number % 25 + 1}d 10:00", minutes=30)
        token = double.grant(EMAIL, client_id=CLIENT[0])
        environment = {
            "HOME": directory,
            "CATCHUP_GOOGLE_CLIENT_ID": CLIENT[0],
            "CATCHUP_GOOGLE_CLIENT_SECRET": CLIENT[1],
            "CATCHUP_GOOGLE_API_ENDPOINT": double.api_endpoint.replace("http:", "https:").replace(
                "127.0.0.1", "localhost"
            ),
            "CATCHUP_GOOGLE_TOKEN_URI": double.token_uri,
            # The bench measures the pod, not the wait for Google's quota.
            "CATCHUP_GOOGLE_PROJECT_QUOTA": "10000000",
            "CATCHUP_CA_FILE": str(authority.ca),
            "CATCHUP_SMTP_HOST": "localhost",
            "CATCHUP_SMTP_PORT": str(smtp.port),
            "CATCHUP_SMTP_SECURITY": "tls",
            "CATCHUP_SMTP_FROM": "CatchUp <digest@example.com>",
            "CATCHUP_SMTP_CA_FILE": str(smtp.ca_file),
            "CATCHUP_ACTION_BASE_URL": "https://catchup.example.com/a",
            "CATCHUP_DATABASE_URL": postgres.url("postgres"),
            "CATCHUP_REDIS_URL": redis.url,
            "CATCHUP_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        }
        run(Subject("migrate", ("db", "migrate"), environment))
        members = [
            {
                "id": f"user-{number:05}",
                "name": f"User {number}",
                "timeZone": "Europe/Berlin",
                "pool": POOL,
                "channels": {"email": {"address": f"user-{number}@example.com", "mode": "on"}},
                "contacts": [{"id": f"c-{each}", "name": f"Contact {each}"} for each in range(_CONTACTS)],
            }
            for number in range(users)
        ]
        run(Subject("import", ("user", "import", "-"), environment), stdin=json.dumps(members))
        _connect(environment, token, users)
        google.socket = context.wrap_socket(google.socket, server_side=True)
        made = World(environment, postgres.url("postgres"), smtp.control)
        run(Subject("first sync", ("sync", "--pool", POOL), environment | {"CATCHUP_DEADLINE_SECONDS": "3600"}))
        run(Subject("first digest", ("digest", "--pool", POOL), environment))
        with psycopg.connect(made.postgres_url, autocommit=True) as connection:
            connection.execute(_OTHERS.format(others=others, pool=POOL))
        yield made


def _connect(environment: dict[str, str], token: dict[str, object], users: int) -> None:
    """Connect all members to one account, in this process: a command for each would take minutes."""
    database = Database.open(environment["CATCHUP_DATABASE_URL"])
    tokens = DatabaseTokens(database, Encryption([environment["CATCHUP_ENCRYPTION_KEYS"]]))
    now = datetime.now(UTC)
    given = OAuthToken(str(token["refresh_token"]), str(token["token"]), now + timedelta(hours=12))
    for number in range(users):
        tokens.connect(f"user-{number:05}", given, now=now)
    database.close()


def play_interval(made: World, users: int) -> None:
    """Play the ticks of one interval for so many connected members, and print what that took.

    Raises:
        SystemExit: a tick failed, or not everybody was served.
    """
    begin = datetime.now(UTC).replace(second=1, microsecond=0) + timedelta(minutes=1)
    with psycopg.connect(made.postgres_url, autocommit=True) as connection:
        with connection.cursor() as cursor:
            # As after an interval in which all were served.
            cadences = {f"user-{n:05}": Cadence.of_user("sync", _INTERVAL, f"user-{n:05}") for n in range(users)}
            cursor.executemany(
                "UPDATE pool_slots SET due_at = %s, version = 'another' WHERE kind = 'sync' AND user_id = %s",
                [(next(cadence.due_after(begin - _MINUTE)), user_id) for user_id, cadence in cadences.items()],
            )
            cursor.execute("DELETE FROM runs")
            cursor.executemany(
                "INSERT INTO runs (run_key, kind, subject, slot, state, attempts, started_at, finished_at)"
                " VALUES (%(key)s, 'sync', %(user)s, %(slot)s, 'done', 0, %(slot)s, %(slot)s)",
                [
                    {"key": f"sync:{user_id}:{format_utc(slot)}", "user": user_id, "slot": slot}
                    for user_id, cadence in cadences.items()
                    for slot in [cadence.latest(begin - _MINUTE)]
                ],
            )
        loads, started, cpu, slowest = [os.getloadavg()[0]], time.monotonic(), 0.0, 0.0
        for minute in range(_INTERVAL):
            at = begin + minute * _MINUTE
            environment = {
                **made.environment,
                "BENCH_CLOCK_AHEAD": str((at - datetime.now(UTC)).total_seconds()),
                "CATCHUP_CRONJOB_NAME": f"{POOL}-pool-sync",
                "CATCHUP_JOB_NAME": f"{POOL}-pool-sync-{int(at.timestamp()) // 60}",
            }
            before = time.monotonic()
            cpu += run(Subject(f"tick {minute}", ("sync", "--pool", POOL), environment)).cpu
            slowest = max(slowest, time.monotonic() - before)
            sys.stderr.write(f"\rpool: tick {minute + 1} of {_INTERVAL}, {time.monotonic() - started:.0f} s ")
        seconds = time.monotonic() - started
        loads.append(os.getloadavg()[0])
        row = connection.execute(
            "SELECT count(DISTINCT subject) FROM runs WHERE kind = 'sync' AND state = 'done' AND slot >= %s",
            (begin - _MINUTE,),
        ).fetchone()
    sys.stderr.write("\n")
    if row is None or row[0] != users:
        sys.exit(f"{row} of {users} users were served")
    print("| users | ticks | s | times as fast as real time | slowest tick, s | CPU a user, ms | load before, after |")
    print("|---|---|---|---|---|---|---|")
    ratio, each = _INTERVAL * 60 / seconds, cpu / users * 1000
    load = ", ".join(f"{each:.1f}" for each in loads)
    print(f"| {users} | {_INTERVAL} | {seconds:.0f} | {ratio:.1f} | {slowest:.1f} | {each:.1f} | {load} |")


# What is measured, and the kind of job whose tick it is.
_TICKS: Final = {"sync": "sync", "digest": "digest", "digest by email": "digest"}


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=400, help="members of the large tick (default: 400)")
    parser.add_argument("--others", type=int, default=0, help="further members, who are never due (default: none)")
    parser.add_argument("--interval", action="store_true", help="play the ticks of one interval, one after the other")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default: 3)")
    options = parser.parse_args()
    if options.interval:
        with world(options.users) as made:
            play_interval(made, options.users)
        return 0
    small = options.users // 10
    costs: dict[tuple[str, int], list[tuple[Cost, float]]] = {}
    with world(options.users, options.others) as made:
        for number in range(options.rounds):
            sys.stderr.write(f"\rpool: round {number + 1} of {options.rounds} ")
            for tick in _TICKS:
                for users in (0, small, options.users):
                    costs.setdefault((tick, users), []).append(made.tick(tick, users))
        sys.stderr.write("\n")
    print("| tick | nobody due, CPU s | a user, CPU ms | peak memory, MB | the tick, s |")
    print("|---|---|---|---|---|")
    for tick in _TICKS:
        least = {users: min(cost.cpu for cost, _ in costs[tick, users]) for users in (0, small, options.users)}
        each = (least[options.users] - least[small]) / (options.users - small) * 1000
        peak = max(cost.peak for cost, _ in costs[tick, options.users])
        seconds = min(seconds for _, seconds in costs[tick, options.users])
        name = f"{tick}, {options.users} users"
        print(f"| {name} | {least[0]:.2f} | {each:.1f} | {peak:.0f} | {seconds:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
