"""Locks and attempts with a real Redis, and with lock files where there is none."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from integration.jobs.proxy import LossyProxy
from integration.services import RedisServer, free_port, redis_server, wait_until
from structlog.testing import capture_logs

from catchup_jobs.adapters.files.locks import FileLocks
from catchup_jobs.adapters.redis.farewells import RedisFarewells
from catchup_jobs.adapters.redis.locks import RedisLocks
from catchup_jobs.jobs.run.errors import MisconfiguredError, TemporaryError
from catchup_jobs.jobs.run.ports import HeldBy, Lock

NAME = "sync:ada"
LOCK_KEY = "catchup:lock:sync:ada"
RUN = "sync:ada:2026-11-23T08:30:00Z"
OTHER = "sync:ada:2026-11-23T09:00:00Z"


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as opened:
        yield opened


@pytest.fixture
def locks(redis_url: str) -> Iterator[RedisLocks]:
    opened = RedisLocks.open(redis_url, lock_seconds=2)
    yield opened
    opened.close()


@pytest.fixture
def proxy(redis_of_session: RedisServer) -> Iterator[LossyProxy]:
    opened = LossyProxy(redis_of_session.port)
    yield opened
    opened.close()


def taken(answer: Lock | HeldBy) -> Lock:
    assert not isinstance(answer, HeldBy)
    return answer


def test_one_holder_at_a_time_and_the_other_learns_which_run_it_is(locks: RedisLocks) -> None:
    lock = taken(locks.acquire(NAME, RUN))
    assert locks.acquire(NAME, OTHER) == HeldBy(RUN)
    assert locks.acquire(NAME, RUN) == HeldBy(RUN)
    taken(locks.acquire("sync:bob", OTHER)).release()
    lock.release()
    taken(locks.acquire(NAME, OTHER)).release()


def test_a_lock_is_kept_alive_until_it_is_released(locks: RedisLocks, client: redis.Redis) -> None:
    lock = taken(locks.acquire(NAME, RUN))
    time.sleep(5)  # two and a half times its TTL
    assert lock.is_held()
    assert client.exists(LOCK_KEY)
    lock.release()
    assert not lock.is_held()
    assert not client.exists(LOCK_KEY)


def test_one_thread_keeps_all_locks_alive_and_one_that_vanished_harms_no_other(
    locks: RedisLocks, client: redis.Redis
) -> None:
    before = set(threading.enumerate())  # those of other tests may not have ended yet
    held = [taken(locks.acquire(f"sync:user-{number}", RUN)) for number in range(3)]
    assert [thread.name for thread in threading.enumerate() if thread not in before] == ["lock-extension"]
    client.delete("catchup:lock:sync:user-1")
    wait_until(lambda: not held[1].is_held(), "the loss is noticed")
    time.sleep(3)  # one and a half times their TTL
    assert [lock.is_held() for lock in held] == [True, False, True]
    for lock in held:
        lock.release()
    assert client.keys("catchup:lock:*") == []


def test_a_lock_that_vanished_is_noticed_and_another_ones_is_not_released(
    locks: RedisLocks, client: redis.Redis
) -> None:
    lock = taken(locks.acquire(NAME, RUN))
    client.flushall()
    other = taken(locks.acquire(NAME, OTHER))
    wait_until(lambda: not lock.is_held(), "the loss is noticed")
    lock.release()
    assert locks.acquire(NAME, RUN) == HeldBy(OTHER)
    other.release()


def test_an_attempt_counts_once_however_often_it_is_booked(locks: RedisLocks, client: redis.Redis) -> None:
    assert locks.attempts(RUN) == 0
    assert [locks.record_attempt(RUN, member) for member in ("a:1", "a:2", "a:2", "b:1")] == [1, 2, 2, 3]
    assert (locks.attempts(RUN), locks.attempts(OTHER)) == (3, 0)
    assert 48 * 3600 - 60 < int(client.ttl(f"catchup:attempts:{RUN}")) <= 48 * 3600


def test_a_lock_whose_grant_was_lost_on_the_way_is_held_and_no_orphan(proxy: LossyProxy, client: redis.Redis) -> None:
    through = RedisLocks.open(f"redis://127.0.0.1:{proxy.port}/0", lock_seconds=2)
    client.flushall()
    proxy.marker = b"SET"
    lock = taken(through.acquire(NAME, RUN))
    assert proxy.lost == 1
    assert lock.is_held()
    lock.release()
    assert not client.exists(LOCK_KEY)
    through.close()


def test_a_booking_whose_reply_was_lost_counts_once(proxy: LossyProxy, client: redis.Redis) -> None:
    client.flushall()
    through = RedisLocks.open(f"redis://127.0.0.1:{proxy.port}/0")
    proxy.marker = b"SADD"
    assert through.record_attempt(RUN, "a:1") == 1
    assert proxy.lost == 1
    through.close()


def test_redis_that_is_down_is_temporary_within_seconds() -> None:
    locks = RedisLocks.open(f"redis://127.0.0.1:{free_port()}/0")
    began = time.monotonic()
    for call in (lambda: locks.acquire(NAME, RUN), lambda: locks.record_attempt(RUN, "a:1")):
        with pytest.raises(TemporaryError, match="Redis cannot be reached"):
            call()
    assert time.monotonic() - began < 60


def test_redis_that_does_not_answer_is_temporary_within_seconds() -> None:
    import socket  # noqa: PLC0415

    with socket.create_server(("127.0.0.1", 0)) as silent:
        locks = RedisLocks.open(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        began = time.monotonic()
        with pytest.raises(TemporaryError, match="Redis cannot be reached"):
            locks.acquire(NAME, RUN)
        assert 2 < time.monotonic() - began < 60


@pytest.mark.parametrize("password", ["", "wrong:secret@"])
def test_a_refused_password_is_a_misconfiguration_that_quotes_no_secret(password: str) -> None:
    with redis_server(password="right") as server:
        user, _, secret = password.rstrip("@").rpartition(":")
        locks = RedisLocks.open(f"redis://{password}127.0.0.1:{server.port}/0")
        for call in (lambda: locks.acquire(NAME, RUN), lambda: locks.attempts(RUN)):
            with pytest.raises(MisconfiguredError, match="CATCHUP_REDIS_URL") as caught:
                call()
            assert not secret or secret not in str(caught.value)
        assert user in {"", "wrong"}


def test_a_malformed_url_is_a_misconfiguration_that_does_not_repeat_it() -> None:
    with pytest.raises(MisconfiguredError) as caught:
        RedisLocks.open("http://:s3cret@host")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        ("CONFIG SET maxmemory 1", redis.OutOfMemoryError),
        ("CONFIG SET min-replicas-to-write 1", redis.ResponseError),
        # What a failover leaves to those who still know the old primary.
        ("REPLICAOF 127.0.0.1 9", redis.ReadOnlyError),
    ],
    ids=["out of memory", "without replicas", "read-only"],
)
def test_redis_that_takes_no_writes_is_temporary(command: str, refusal: type[redis.RedisError]) -> None:
    with redis_server() as server:
        with redis.Redis.from_url(server.url) as admin:
            admin.execute_command(command)
            with pytest.raises(refusal):
                admin.set("a", "b")
        locks = RedisLocks.open(server.url)
        with pytest.raises(TemporaryError, match="Redis cannot serve now"):
            locks.acquire(NAME, RUN)
        with pytest.raises(TemporaryError, match="Redis cannot serve now"):
            locks.record_attempt(RUN, "a:1")
        locks.close()


def test_a_restarted_redis_is_used_again() -> None:
    with redis_server() as server:
        locks = RedisLocks.open(server.url)
        assert locks.record_attempt(RUN, "a:1") == 1
        server.stop()
        with pytest.raises(TemporaryError):
            locks.record_attempt(RUN, "a:2")
        server.start()
        assert locks.record_attempt(RUN, "a:2") == 1
        locks.close()


_HOLD_A_FILE_LOCK = """
import sys, time
from pathlib import Path
from catchup_jobs.adapters.files.locks import FileLocks
lock = FileLocks(Path(sys.argv[1])).acquire("sync:ada", sys.argv[2])
print("held", flush=True)
time.sleep(60)
"""


def test_a_lock_file_excludes_another_process_and_dies_with_its_holder(tmp_path: Path) -> None:
    here = FileLocks(tmp_path / "locks")
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD_A_FILE_LOCK, str(tmp_path / "locks"), OTHER], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert here.acquire(NAME, RUN) == HeldBy(OTHER)
        taken(here.acquire("sync:bob", RUN)).release()
        holder.kill()
    lock = taken(here.acquire(NAME, RUN))
    assert lock.is_held()
    lock.release()
    assert not lock.is_held()
    taken(here.acquire(NAME, RUN)).release()


def test_a_lock_directory_that_cannot_be_made_is_a_misconfiguration(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MisconfiguredError, match="cannot write the lock file"):
        FileLocks(tmp_path / "file" / "locks").acquire(NAME, RUN)


def test_a_user_who_may_not_run_scripts_is_refused_before_a_lock_is_left(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.execute_command("ACL", "SETUSER", "halting", "on", "nopass", "~*", "+@all", "-eval", "-evalsha")
        try:
            locks = RedisLocks.open(redis_url.replace("redis://", "redis://halting:x@"))
            with closing(locks), pytest.raises(MisconfiguredError):
                locks.acquire("sync:ada", "sync:ada:1")
            assert client.keys() == []
        finally:
            client.execute_command("ACL", "DELUSER", "halting")


def test_what_a_pod_says_at_its_end_is_known_to_others_for_a_week(redis_url: str, client: redis.Redis) -> None:
    with closing(RedisFarewells.open(redis_url)) as one, closing(RedisFarewells.open(redis_url)) as other:
        one.say("pod-1")
        assert other.said({"pod-1", "pod-2"}) == {"pod-1"}
        assert other.said(set()) == set()
    assert 0 < int(client.ttl("catchup:farewell:pod-1")) <= 7 * 24 * 3600


def test_where_redis_is_down_nothing_is_said_and_nothing_raised() -> None:
    with closing(RedisFarewells.open("redis://127.0.0.1:1/0")) as farewells, capture_logs() as logs:
        farewells.say("pod-1")
        assert farewells.said({"pod-1"}) == set()
    assert [line["log_level"] for line in logs] == ["warning"]
