"""Google's quotas, shared by all pods through a real Redis."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from cryptography.fernet import Fernet
from integration.jobs.sync_world import EMAIL
from integration.jobs.test_sync_command import Shell, connect, shell
from integration.services import RedisServer

from catchup_jobs.adapters.quota import RedisQuota
from catchup_jobs.contract import Count, ExitCode
from catchup_jobs.jobs.outcomes import TemporaryError

__all__ = ["shell"]  # the fixture


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


def test_a_hundred_pods_at_once_never_pass_the_projects_quota_and_all_finish(redis_url: str) -> None:
    # A minute's quota of 6000 is 100 a second; in any second at most its burst and what flows in meanwhile.
    burst, flow = 6000 * 0.2, 6000 * 0.8 / 60
    started = threading.Barrier(100)
    made: list[float] = []

    def pod(number: int) -> None:
        with closing(RedisQuota.open(redis_url, f"user-{number}", project=6000, user=600)) as quota:
            started.wait()
            for _ in range(15):
                time.sleep(quota.reserve())
                made.append(time.monotonic())

    with ThreadPoolExecutor(100) as pods:
        list(pods.map(pod, range(100)))
    assert len(made) == 1500
    # All but the burst had to wait for the flow, so the quota did bind.
    assert max(made) - min(made) >= (1500 - burst) / flow * 0.9
    assert most_in_any(1.0, made) <= burst + flow * 1.5


def test_one_users_requests_wait_for_the_users_quota_alone(redis_url: str) -> None:
    with (
        closing(RedisQuota.open(redis_url, "ada", project=10_000, user=60)) as ada,
        closing(RedisQuota.open(redis_url, "grace", project=10_000, user=60)) as grace,
    ):
        waits = [ada.reserve() for _ in range(14)]
        assert waits[:12] == [0.0] * 12
        assert 0 < waits[12] < waits[13] < 3
        assert grace.reserve() == 0.0


def test_a_minute_holds_no_more_than_the_quota_wherever_it_begins(redis_url: str) -> None:
    # By the waits alone: whoever asks at once for two minutes' worth is spread over them.
    with closing(RedisQuota.open(redis_url, "ada", project=10**6, user=60)) as quota:
        instants = [quota.reserve() for _ in range(120)]
    assert most_in_any(60.0, instants) <= 60


def test_without_redis_the_quota_cannot_be_asked(redis_of_its_own: RedisServer) -> None:
    with closing(RedisQuota.open(redis_of_its_own.url, "ada", project=10, user=10)) as quota:
        assert quota.reserve() == 0.0
        redis_of_its_own.stop()
        with pytest.raises(TemporaryError, match="Redis"):
            quota.reserve()


@pytest.fixture
def cluster_shell(shell: Shell, redis_url: str, postgresql_url: str) -> Shell:
    """The user in an installation with PostgreSQL and Redis."""
    shell.environment |= {
        "CATCHUP_DATABASE_URL": postgresql_url,
        "CATCHUP_REDIS_URL": redis_url,
        "CATCHUP_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }
    shell.run("user", "import", "-", stdin=json.dumps({"id": "ada", "name": "Ada"}))
    connect(shell)
    return shell


def test_a_sync_takes_its_turn_before_each_request(cluster_shell: Shell) -> None:
    cluster_shell.environment["CATCHUP_GOOGLE_USER_QUOTA"] = "5"  # one at once, then one every 15 s
    process = cluster_shell.start("sync", "--user", "ada")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=6)
    assert cluster_shell.google.count("events") == 0
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == ExitCode.TEMPORARY
    assert cluster_shell.summary().attempts == 0
    cluster_shell.environment["CATCHUP_GOOGLE_USER_QUOTA"] = "600"
    cluster_shell.run("sync", "--user", "ada")
    assert cluster_shell.summary().counts[Count.CALENDARS] == 1
    assert cluster_shell.google.count("events", user=EMAIL) == 1
