"""Google's quotas, shared by all pods through a real Redis."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from integration.jobs.story.clock import Clock
from integration.jobs.story.pods import Pod, Pods, running
from integration.jobs.sync_world import CLIENT_ID, CLIENT_SECRET, EMAIL, SyncWorld
from integration.jobs.test_pool_command import PEOPLE, enrol
from integration.jobs.test_sync_command import Shell, cluster_shell, shell
from integration.services import RedisServer

from catchup_contract.outcomes import ExitCode
from catchup_contract.summary import Count
from catchup_dev.doubles.google.client import GoogleDouble
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.redis.quota import RedisQuota
from catchup_jobs.jobs.run.errors import TemporaryError

__all__ = ["cluster_shell", "shell"]  # the fixtures


@pytest.fixture
def redis_of_its_own() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.stop()


def most_in_any(window: float, instants: list[float]) -> int:
    """Return the largest number of instants that any window of this length (seconds) holds."""
    ordered = sorted(instants)
    return max(sum(start <= instant < start + window for instant in ordered) for start in ordered)


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[Pods]:
    """Pods that live by the true time."""
    Clock.make(tmp_path / "clock", speed=1.0)
    with running(tmp_path / "clock") as found:
        yield found


# Processes and the project's quota a minute: so low that most requests have to wait.
PODS, QUOTA = (100, 300) if "CATCHUP_TORTURE" in os.environ else (20, 160)


def test_many_pods_at_once_never_pass_the_projects_quota_and_all_finish(
    pods: Pods, google: GoogleDouble, redis_url: str, postgresql_url: str, tmp_path: Path
) -> None:
    environment = {
        "CATCHUP_DATABASE_URL": postgresql_url,
        "CATCHUP_REDIS_URL": redis_url,
        "CATCHUP_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "CATCHUP_GOOGLE_CLIENT_ID": CLIENT_ID,
        "CATCHUP_GOOGLE_CLIENT_SECRET": CLIENT_SECRET,
        "CATCHUP_GOOGLE_API_ENDPOINT": google.api_endpoint,
        "CATCHUP_GOOGLE_TOKEN_URI": google.token_uri,
        "CATCHUP_GOOGLE_PROJECT_QUOTA": str(QUOTA),
    }
    with closing(Database.open(postgresql_url)) as database:
        world = SyncWorld(database, google, tmp_path, now=datetime.now(UTC), key=environment["CATCHUP_ENCRYPTION_KEYS"])
        users = [f"user-{number}" for number in range(PODS)]
        for user in users:
            google.add_user(f"{user}@example.com")
            world.add_user(user)
            world.connect(user, f"{user}@example.com")
    google.clear_requests()
    began = time.time()

    def start(user: str) -> Pod:
        return pods.start(["sync", "--user", user], environment, directory=tmp_path)

    started = {}
    # Each is halted as soon as it is there, and all go on at once.
    for user in users:
        started[user] = start(user)
        started[user].send(signal.SIGSTOP)
    assert len(pods.alive()) == PODS
    for pod in started.values():
        pod.send(signal.SIGCONT)
    codes = {user: pod.exit_code.result(300) for user, pod in started.items()}
    # As its Job would: so many at once may keep a server from answering in time.
    again = {user: start(user).exit_code.result(60) for user, code in codes.items() if code == ExitCode.TEMPORARY}
    assert codes | again == dict.fromkeys(users, 0)
    instants = sorted(entry["at"] for entry in google.requests())
    assert 2 * PODS <= len(instants) <= 2 * (PODS + len(again)), "the list, and one page of events"
    # The n-th request of all has to wait until its place has come into the bucket.
    burst, flow = QUOTA * 0.2, QUOTA * 0.8 / 60
    early = [n for n, instant in enumerate(instants, 1) if instant < began + (n - burst) / flow]
    assert early == []
    assert instants[-1] - began > (2 * PODS - burst) / flow > 3, "the quota did bind"


def test_all_members_of_a_pool_at_once_as_after_a_suspension_and_a_backfill_of_them_wait_for_the_projects_quota(
    cluster_shell: Shell, redis_url: str
) -> None:
    enrol(cluster_shell, *PEOPLE)
    cluster_shell.environment["CATCHUP_GOOGLE_PROJECT_QUOTA"] = str(QUOTA)
    burst, flow = QUOTA * 0.2, QUOTA * 0.8 / 60
    cluster_shell.google.clear_requests()
    began = time.time()
    with closing(RedisQuota.open(redis_url, "others", project=QUOTA, user=10**6, day=10**6)) as quota:
        # Others have used what may be used at once.
        for _ in range(int(burst)):
            quota.reserve()

    cluster_shell.run("sync", "--pool", "people")
    printed = cluster_shell.run("backfill", "--pool", "people", "--rate", "99/s")

    assert "3 synced, 0 skipped, 0 failed" in printed
    instants = sorted(entry["at"] for entry in cluster_shell.google.requests())
    # The list of calendars is read once a day; a slot of the pool may come meanwhile.
    assert len(instants) >= 3 * len(PEOPLE)
    early = [n for n, instant in enumerate(instants, 1) if instant < began + n / flow - 0.1]
    assert early == []


def test_one_users_requests_wait_for_the_users_quota_alone(redis_url: str) -> None:
    with (
        closing(RedisQuota.open(redis_url, "ada", project=10_000, user=60, day=10**6)) as ada,
        closing(RedisQuota.open(redis_url, "grace", project=10_000, user=60, day=10**6)) as grace,
    ):
        waits = [ada.reserve() for _ in range(14)]
        assert waits[:12] == [0.0] * 12
        assert 0 < waits[12] < waits[13] < 3
        assert grace.reserve() == 0.0


def test_a_minute_holds_no_more_than_the_quota_wherever_it_begins(redis_url: str) -> None:
    # By the waits alone: whoever asks at once for two minutes' worth is spread over them.
    with closing(RedisQuota.open(redis_url, "ada", project=10**6, user=60, day=10**6)) as quota:
        instants = [quota.reserve() for _ in range(120)]
    assert most_in_any(60.0, instants) <= 60


def test_without_redis_the_quota_cannot_be_asked(redis_of_its_own: RedisServer) -> None:
    with closing(RedisQuota.open(redis_of_its_own.url, "ada", project=10, user=10, day=10**6)) as quota:
        assert quota.reserve() == 0.0
        redis_of_its_own.stop()
        with pytest.raises(TemporaryError, match="Redis"):
            quota.reserve()


def test_a_sync_takes_its_turn_before_each_request(cluster_shell: Shell) -> None:
    cluster_shell.environment["CATCHUP_GOOGLE_USER_QUOTA"] = "5"  # one at once, then one every 15 s
    process = cluster_shell.start("sync", "--user", "ada")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=6)
    assert cluster_shell.google.count("events") == 0
    process.terminate()
    process.communicate(timeout=120)
    assert process.returncode == ExitCode.TEMPORARY
    assert cluster_shell.summary().attempts == 0
    cluster_shell.environment["CATCHUP_GOOGLE_USER_QUOTA"] = "600"
    cluster_shell.run("sync", "--user", "ada")
    assert cluster_shell.summary().counts[Count.CALENDARS] == 1
    assert cluster_shell.google.count("events", user=EMAIL) == 1
