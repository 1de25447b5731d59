"""What the members of a pool cost a real cluster, beside users with CronJobs of their own.

Run by `make bench-pool`, or alone: `python tests/benchmarks/pool_cluster.py --help`. It starts a cluster of its own
with a node, installs the product and a double of Google, enrols the members, and lets the ticks serve them by the
clock: for one interval to store every calendar, for a second one that is measured, and for a third while the users with
CronJobs of their own are suspended, which leaves what the members cost. CPU is the whole machine's: it includes
PostgreSQL, Redis, the double and Kubernetes itself. What the same cluster takes with nobody to serve comes off.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from catchup_contract.api import LABEL_USER_SCHEDULE
from catchup_dev.cluster import Cluster
from catchup_dev.console import Console, exit_code_of
from catchup_dev.stack import CHART, RELEASE, Stack

POOL: Final = "bench"
EMAIL: Final = "bench@example.com"
EVENTS: Final = 50
_IDLE_SECONDS: Final = 60
_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "APPLY", "DELETE"})
_BATCH: Final = 500
# One account for all, in one process in the toolbox: a command for each would take hours.
_CONNECT: Final = """
import json, os, sys
from datetime import UTC, datetime, timedelta
from catchup_jobs.adapters.database.calendars.tokens import DatabaseTokens
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.encryption import Encryption
from catchup_jobs.domain.calendar.access_token import OAuthToken
token, users = json.load(sys.stdin)
now = datetime.now(UTC)
given = OAuthToken(token["refresh_token"], token["token"], now + timedelta(minutes=30))
database = Database.open(os.environ["CATCHUP_DATABASE_URL"])
tokens = DatabaseTokens(database, Encryption(os.environ["CATCHUP_ENCRYPTION_KEYS"].split(",")))
for user in users:
    tokens.connect(user, given, now=now)
"""


@dataclass(frozen=True)
class Reading:
    """Counters at one moment.

    Attributes:
        at: seconds of the monotonic clock.
        cpu: seconds of CPU of the whole machine since its start.
        requests: requests to the API server by verb and resource.
        operator_writes: requests of the operator that change an object.
        google: requests to the double.
    """

    at: float
    cpu: float
    requests: dict[tuple[str, str], float]
    operator_writes: float
    google: int

    def writes(self, resource: str | None = None, verb: str | None = None) -> float:
        """Return how many requests changed an object, of one resource and verb if named."""
        return sum(
            number
            for (by, of), number in self.requests.items()
            if (by == verb if verb else by in _WRITES) and resource in {None, of}
        )


class Bench:
    """One installation with members of a pool and users with UserSchedules."""

    def __init__(self, stack: Stack, console: Console, *, members: int, dedicated: int, minutes: int) -> None:
        self._stack, self._console = stack, console
        self._members = [f"member-{number:05}" for number in range(members)]
        self._dedicated = [f"own-{number:04}" for number in range(dedicated)]
        self._minutes = minutes

    def install(self) -> None:
        """Install the product on the cluster."""
        stack = self._stack
        built = stack.load_images()
        stack.stand_ins.start()
        stack.make_namespace()
        values = stack.values(built)
        # The bench measures the pool, not the wait for Google's quota.
        values["google"] |= {"projectQuota": 10_000_000, "userQuota": 10_000_000}
        with self._console.step("helm install"):
            stack.helm("install", RELEASE, str(CHART), "--values", str(stack.write_values(values)), "--timeout=4m")
            stack.wait_for_operator()

    def fill(self) -> None:
        """Import and connect all users, and make the pool and the UserSchedules."""
        google = self._stack.google
        google.add_user(EMAIL, "Europe/Berlin")
        for number in range(EVENTS):
            google.add_event(EMAIL, f"event-{number}", "Meeting", at=f"+{number % 14}d 10:00", minutes=30)
        token = google.grant(EMAIL, client_id="catchup-demo")
        users = [*self._members, *self._dedicated]
        with self._console.step(f"Import of {len(users):,} users"):
            for start in range(0, len(users), _BATCH):
                self._enrol(users[start : start + _BATCH], token)
        pool = {
            "apiVersion": "catchup.dev/v1alpha1",
            "kind": "SchedulePool",
            "metadata": {"name": POOL},
            "spec": {"members": "Database", "calendarSync": {"every": self._every}},
        }
        self._apply([pool, *map(self._user_schedule, self._dedicated)])

    def suspend_dedicated(self) -> None:
        """Suspend every UserSchedule, and wait until their pods have ended."""
        with self._console.step("UserSchedules suspended"):
            self._apply([self._user_schedule(user, suspend=True) for user in self._dedicated])
            while any(job["status"].get("active") for job in self._jobs_of_schedules()):
                time.sleep(1)

    def serve(self, what: str) -> tuple[Reading, Reading]:
        """Let one interval pass; the counters at its start and its end."""
        before = self.read()
        with self._console.step(f"{what}: {self._minutes} min"):
            time.sleep(max(0.0, before.at + self._minutes * 60 - time.monotonic()))
        return before, self.read()

    def idle(self) -> float:
        """Return how many cores are busy where nobody is served."""
        before = _machine_cpu()
        with self._console.step(f"The cluster with nobody to serve: {_IDLE_SECONDS} s"):
            time.sleep(_IDLE_SECONDS)
        return (_machine_cpu() - before) / _IDLE_SECONDS

    def read(self) -> Reading:
        """Read all counters."""
        operator = self._stack.kubectl(
            "exec",
            f"deployment/{RELEASE}-operator",
            "--",
            "python3",
            "-c",
            "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/metrics').read().decode())",
        )
        made = _samples(operator, "catchup_operator_api_requests_total")
        return Reading(
            time.monotonic(),
            _machine_cpu(),
            _samples(self._stack.cluster.request("GET", "/metrics"), "apiserver_request_total"),
            sum(number for (verb, _), number in made.items() if verb.upper() in _WRITES),
            len(self._stack.google.call("requests")),
        )

    def status(self) -> dict[str, Any]:
        """Return what the pool's status says."""
        found: dict[str, Any] = self._stack.get("schedulepool", POOL)["status"]
        return found

    def healthy_schedules(self) -> int:
        """Return how many UserSchedules had a sync that succeeded."""
        listed = self._stack.get("userschedules")["items"]
        return sum(each["status"].get("sync", {}).get("lastResult") in {"Succeeded", "Unchanged"} for each in listed)

    @property
    def _every(self) -> str:
        return f"{self._minutes}m"

    def _enrol(self, users: list[str], token: dict[str, Any]) -> None:
        pooled = set(self._members)
        rows = [
            {"id": user, "name": user, "timeZone": "Europe/Berlin"} | ({"pool": POOL} if user in pooled else {})
            for user in users
        ]
        self._stack.catchup_jobs("user", "import", "-", stdin=json.dumps(rows))
        toolbox = ("exec", "-i", f"deployment/{RELEASE}-toolbox", "--", "python3", "-c", _CONNECT)
        self._stack.kubectl(*toolbox, stdin=json.dumps([token, users]))

    def _jobs_of_schedules(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self._stack.get("jobs", f"--selector={LABEL_USER_SCHEDULE}")["items"]
        return listed

    def _user_schedule(self, user: str, *, suspend: bool = False) -> dict[str, Any]:
        return {
            "apiVersion": "catchup.dev/v1alpha1",
            "kind": "UserSchedule",
            "metadata": {"name": user},
            "spec": {"userId": user, "suspend": suspend, "calendarSync": {"every": self._every}},
        }

    def _apply(self, objects: list[dict[str, Any]]) -> None:
        document = {"apiVersion": "v1", "kind": "List", "items": objects}
        self._stack.kubectl("apply", "-f", "-", stdin=json.dumps(document))


def _machine_cpu() -> float:
    """Return the seconds that all processors were busy since the start of the machine (proc_stat(5))."""
    user, nice, system, _idle, _wait, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _samples(text: str, name: str) -> dict[tuple[str, str], float]:
    """Return the sums of a counter by verb and resource."""
    found: dict[tuple[str, str], float] = {}
    for labels, number in re.findall(rf"^{name}\{{(.*)\}} (\S+)$", text, re.MULTILINE):
        label = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        key = (label["verb"], label["resource"])
        found[key] = found.get(key, 0) + float(number)
    return found


def _report(title: str, bench: Bench, readings: tuple[Reading, Reading], *, idle: float, users: int) -> None:
    before, after = readings
    seconds = after.at - before.at
    cpu = after.cpu - before.cpu
    served = cpu - idle * seconds

    def more(resource: str | None = None, verb: str | None = None) -> float:
        return after.writes(resource, verb) - before.writes(resource, verb)

    rows = {
        "time, s": f"{seconds:.0f}",
        "pods": f"{more('pods', 'POST'):.0f}",
        "CPU of the machine, s": f"{cpu:.0f}",
        "of it with nobody to serve, s": f"{idle * seconds:.0f}",
        "CPU a user, ms": f"{served / users * 1000:.0f}",
        "requests to Google": f"{after.google - before.google:,}",
        "writes to the API server, all clients": f"{more():,.0f}",
        "writes of the operator": f"{after.operator_writes - before.operator_writes:,.0f}",
        "writes of the operator a user": f"{(after.operator_writes - before.operator_writes) / users:.3f}",
    }
    status = bench.status()
    rows |= {f"pool: {name}": str(status.get(name)) for name in ("members", "synced", "failing", "late")}
    rows["UserSchedules synced"] = str(bench.healthy_schedules())
    print(f"\n{title}\n\n| | |\n|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=10_000, help="users of the pool (default: 10,000)")
    parser.add_argument("--dedicated", type=int, default=100, help="users with a UserSchedule (default: 100)")
    parser.add_argument("--minutes", type=int, default=10, help="`every` of both (default: 10)")
    given = parser.parse_args()
    console = Console()
    if os.geteuid() != 0:
        parser.error("a node needs root: run as root")

    def run() -> int:
        with tempfile.TemporaryDirectory() as root:
            cluster = Cluster("bench-pool", Path(root), node=True, helm=True, console=console)
            stack = Stack(cluster, console=console)
            bench = Bench(stack, console, members=given.members, dedicated=given.dedicated, minutes=given.minutes)
            try:
                cluster.up()
                bench.install()
                idle = bench.idle()
                bench.fill()
                bench.serve("The first sync of each user")
                if given.dedicated:
                    readings = bench.serve("A sync of each user, nothing changed")
                    _report("All users", bench, readings, idle=idle, users=given.members + given.dedicated)
                    bench.suspend_dedicated()
                readings = bench.serve("A sync of each member, nothing changed")
                _report("The members alone", bench, readings, idle=idle, users=given.members)
            finally:
                stack.stand_ins.stop()
                cluster.down()
        return 0

    return exit_code_of(run, interrupted="The cluster of the bench is gone.")


if __name__ == "__main__":
    sys.exit(main())
