"""What a pod pays before and beside its work: modules, CPU and peak memory of each subcommand.

Run by `make bench`, or alone: `python tests/benchmarks/pods.py --help`. Each command runs as a process of its own
against SQLite and against PostgreSQL with Redis, interleaved, so that a busy moment of the machine touches all alike.
The least of several runs is shown for CPU, since noise only ever adds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet

from catchup_dev.doubles.google.client import GoogleDouble
from catchup_dev.doubles.google.server import running

sys.path.insert(0, str(Path(__file__).parents[1]))
from integration.services import postgres_server, redis_server

EMAIL: Final = "ada@example.com"
CLIENT: Final = ("bench", "bench-secret")
EVENTS: Final = 50

# In the process itself, so that the parent's memory is not counted (a fork starts with it until its `exec`).
_PROBE: Final = """
import atexit, resource, sys
sys.modules["rich"] = None  # a tool of the development environment; structlog would load it, in the image it cannot
def tell():
    used = resource.getrusage(resource.RUSAGE_SELF)
    sys.__stderr__.write(f"\\nPROBE {len(sys.modules)} {used.ru_utime + used.ru_stime} {used.ru_maxrss}\\n")
atexit.register(tell)
import os
if ahead := os.environ.get("BENCH_CLOCK_AHEAD"):  # seconds by which this process's clock is ahead
    from datetime import datetime, timedelta
    from catchup_jobs.adapters import process
    class Ahead(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(seconds=float(ahead))
    process.datetime = Ahead
sys.argv[0] = "catchup-jobs"
from catchup_jobs.cli import main
main()
"""


@dataclass(frozen=True)
class Subject:
    """One row: a command in an environment."""

    name: str
    arguments: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """What one process took: imported modules, CPU seconds (user and system), peak memory in MB."""

    modules: int
    cpu: float
    peak: float


def run(subject: Subject, *, stdin: str = "") -> Cost:
    """Run a command to its end.

    Raises:
        SystemExit: it failed; what it printed is shown.
    """
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, *subject.arguments],
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **subject.environment},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"{subject.name} ended with {done.returncode}:\n{done.stderr or done.stdout}")
    probe = next(line for line in done.stderr.splitlines() if line.startswith("PROBE"))
    modules, cpu, peak = probe.split()[1:]
    return Cost(int(modules), float(cpu), int(peak) / 1024)


@contextmanager
def world() -> Iterator[list[Subject]]:
    """Yield the commands to measure, in environments where a user is imported, connected and synced once."""
    with (
        tempfile.TemporaryDirectory() as directory,
        running() as google,
        postgres_server() as postgres,
        redis_server() as redis,
    ):
        google.control.add_client(*CLIENT)
        double = GoogleDouble(google.url)
        double.add_user(EMAIL, "Europe/Berlin")
        for number in range(EVENTS):
            double.add_event(EMAIL, f"e{number}", f"Event {number}", at=f"+{number % 25 + 1}d 10:00", minutes=30)
        common = {
            "HOME": directory,
            "CATCHUP_GOOGLE_CLIENT_ID": CLIENT[0],
            "CATCHUP_GOOGLE_CLIENT_SECRET": CLIENT[1],
            "CATCHUP_GOOGLE_API_ENDPOINT": double.api_endpoint,
            "CATCHUP_GOOGLE_TOKEN_URI": double.token_uri,
        }
        servers = {
            **common,
            "CATCHUP_DATABASE_URL": postgres.url("postgres"),
            "CATCHUP_REDIS_URL": redis.url,
            "CATCHUP_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        }
        subjects = [Subject("--help", ("--help",), common)]
        for name, environment in (("SQLite", common), ("PostgreSQL, Redis", servers)):
            _prepare(double, environment)
            subjects += [
                Subject(f"sync, nothing changed ({name})", ("sync", "--user", "ada"), environment),
                Subject(f"digest, nothing to send ({name})", ("digest", "--user", "ada"), environment),
                Subject(f"suggestions, one user ({name})", ("suggestions", "--user", "ada"), environment),
            ]
        yield subjects


def _prepare(double: GoogleDouble, environment: dict[str, str]) -> None:
    def step(*arguments: str, stdin: str = "") -> None:
        run(Subject(" ".join(arguments), arguments, environment), stdin=stdin)

    step("db", "migrate")
    step("user", "import", "-", stdin=json.dumps({"id": "ada", "name": "Ada", "timeZone": "Europe/Berlin"}))
    token = json.dumps(double.grant(EMAIL, client_id=CLIENT[0]))
    step("calendar", "connect", "ada", "--token-file", "-", stdin=token)
    step("sync", "--user", "ada")


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="runs of each command (default: 5)")
    times: int = parser.parse_args().times
    with world() as subjects:
        costs: dict[str, list[Cost]] = {subject.name: [] for subject in subjects}
        for number in range(times):
            sys.stderr.write(f"\rpods: round {number + 1} of {times} ")
            for subject in subjects:
                costs[subject.name].append(run(subject))
        sys.stderr.write("\n")
    print("| command | modules | CPU, s | peak memory, MB |")
    print("|---|---|---|---|")
    for name, found in costs.items():
        cpu, peak = min(cost.cpu for cost in found), max(cost.peak for cost in found)
        print(f"| {name} | {found[0].modules} | {cpu:.2f} | {peak:.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
