"""What a user costs in a pool: CPU of the pool's pod a user and its peak memory, beside a pod of the user's own.

Run by `make bench`, or alone: `python tests/benchmarks/pool.py --help`. PostgreSQL, Redis and the double of Google (by
TLS) run as processes and threads beside it, and are not counted. Every user has 50 events, of which none has changed.
The cost a user is the difference of a large and a small tick by the difference of their users, so that the start of the
process is no part of it. The least of several rounds is shown, since noise only ever adds.
"""

from __future__ import annotations

import argparse
import json
import ssl
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
from cryptography.fernet import Fernet

from catchup_dev.doubles.google.client import GoogleDouble
from catchup_dev.doubles.google.server import running
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

POOL: Final = "bench"


@dataclass(frozen=True)
class World:
    """An installation with members of a pool."""

    environment: dict[str, str]
    postgres_url: str

    def make_due(self, kind: str, users: int) -> None:
        """Make so many members due, and no others."""
        with psycopg.connect(self.postgres_url, autocommit=True) as connection:
            connection.execute("UPDATE pool_slots SET due_at = now() + interval '1 hour'")
            connection.execute(
                "UPDATE pool_slots SET due_at = now() - interval '1 minute' WHERE kind = %s AND user_id IN"
                " (SELECT user_id FROM pool_members ORDER BY user_id LIMIT %s)",
                (kind, users),
            )
            # Half an hour after the digest's time, so that all are due for today.
            connection.execute("UPDATE pool_members SET digest_since = now() - interval '7 days'")
            connection.execute(
                "UPDATE users SET digest_day = 'Daily',"
                " digest_time = date_trunc('minute', now() AT TIME ZONE 'Europe/Berlin' - interval '30 minutes')::time"
            )
            connection.execute("DELETE FROM digests")
            # A slot's run ends once: another round needs it undone.
            connection.execute("DELETE FROM runs")


@contextmanager
def world(users: int) -> Iterator[World]:
    """Yield an installation in which so many members are connected and were synced once."""
    with (
        tempfile.TemporaryDirectory() as directory,
        running() as google,
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
            "CATCHUP_DATABASE_URL": postgres.url("postgres"),
            "CATCHUP_REDIS_URL": redis.url,
            "CATCHUP_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        }
        run(Subject("migrate", ("db", "migrate"), environment))
        members = [
            {"id": f"user-{number:05}", "name": f"User {number}", "timeZone": "Europe/Berlin", "pool": POOL}
            for number in range(users)
        ]
        run(Subject("import", ("user", "import", "-"), environment), stdin=json.dumps(members))
        _connect(environment, token, users)
        google.socket = context.wrap_socket(google.socket, server_side=True)
        made = World(environment, postgres.url("postgres"))
        run(Subject("first sync", ("sync", "--pool", POOL), environment | {"CATCHUP_DEADLINE_SECONDS": "3600"}))
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


def _by_tls(url: str) -> str:
    return url.replace("http:", "https:").replace("127.0.0.1", "localhost")


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=400, help="members of the large tick (default: 400)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default: 3)")
    options = parser.parse_args()
    small = options.users // 10
    costs: dict[tuple[str, int], list[Cost]] = {}
    with world(options.users) as made:
        for number in range(options.rounds):
            sys.stderr.write(f"\rpool: round {number + 1} of {options.rounds} ")
            for kind in ("sync", "digest"):
                for users in (0, small, options.users):
                    made.make_due(kind, users)
                    cost = run(Subject(f"{kind} of {users}", (kind, "--pool", POOL), made.environment))
                    costs.setdefault((kind, users), []).append(cost)
        sys.stderr.write("\n")
    print("| tick | nobody due, CPU s | a user, CPU ms | peak memory, MB |")
    print("|---|---|---|---|")
    for kind in ("sync", "digest"):
        least = {users: min(cost.cpu for cost in costs[kind, users]) for users in (0, small, options.users)}
        each = (least[options.users] - least[small]) / (options.users - small) * 1000
        peak = max(cost.peak for cost in costs[kind, options.users])
        print(f"| {kind}, {options.users} users | {least[0]:.2f} | {each:.1f} | {peak:.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
