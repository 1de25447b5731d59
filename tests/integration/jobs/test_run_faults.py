"""Real processes, killed and cut off from Redis: the same end state, and the exit code that the Job needs."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from integration.jobs import nursery, run_process
from integration.jobs.nursery import Forked
from integration.services import RedisServer, free_port, redis_server, wait_until
from sqlalchemy import select

from catchup_contract.outcomes import Outcome, Reason
from catchup_contract.summary import Summary
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.schema import dead_letters, runs
from catchup_jobs.domain.stored_enums import RunState

SLOT = "2026-11-23T08:30:00+00:00"
NEXT_SLOT = "2026-11-23T09:00:00+00:00"
LATER_SLOT = "2026-11-23T09:30:00+00:00"
KEY = "sync:ada:2026-11-23T08:30:00Z"


@dataclass
class Pod:
    process: Forked
    out: Path

    def end(self, seconds: float = 120) -> tuple[int, Summary]:
        """Wait for the end; return the exit code and the summary."""
        code = self.process.exit_code.result(seconds)
        return code, Summary.from_json(self.out.read_text().splitlines()[-1])

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid.result(), number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.exit_code.result(120)


class Pods:
    """Starts job processes on one database and one Redis, and looks at what they did."""

    def __init__(self, database: Database, database_url: str, redis_url: str, effects: Path) -> None:
        self.database, self.database_url, self.redis_url, self.effects = database, database_url, redis_url, effects
        self.started: list[Pod] = []

    def start(self, pod: str, **options: Any) -> Pod:
        document = {
            "pod": pod,
            "slot": SLOT,
            "database_url": self.database_url,
            "redis_url": self.redis_url,
            "effects": str(self.effects),
            **options,
        }
        out = self.effects.with_name(f"out-{len(self.started)}")
        arguments = [json.dumps(document)]
        process = nursery.shared().fork(arguments, os.environ, out=out, err=out, module=run_process.__name__)
        self.started.append(Pod(process, out))
        return self.started[-1]

    def lines(self) -> list[str]:
        return self.effects.read_text().splitlines() if self.effects.exists() else []

    def working(self, pod: str) -> None:
        """Return when the pod is in the middle of its work."""
        wait_until(lambda: any(line.startswith(f"{pod} ") for line in self.lines()), f"{pod} works")

    def row(self, key: str = KEY) -> Any:
        with self.database.read() as connection:
            return connection.execute(select(runs).where(runs.c.run_key == key)).one()

    def letters(self) -> list[str]:
        with self.database.read() as connection:
            return list(connection.execute(select(dead_letters.c.run_key)).scalars())


@pytest.fixture
def pods(database: Database, database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Pods]:
    made = Pods(database, database_url, redis_url, tmp_path / "effects")
    yield made
    for pod in made.started:
        if not pod.process.exit_code.done():
            pod.kill()


@pytest.fixture
def own_redis(pods: Pods) -> Iterator[RedisServer]:
    """A Redis that the test may stop, used by its pods."""
    with redis_server() as server:
        pods.redis_url = server.url
        yield server


def lock_exists(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        return bool(client.exists("catchup:lock:sync:ada"))


def test_two_jobs_of_one_slot_at_once_have_one_effect(pods: Pods) -> None:
    first = pods.start("one", step_seconds=1)
    pods.working("one")
    second = pods.start("two")
    assert first.end()[0] == 0
    code, summary = second.end()
    assert (code, summary.outcome, summary.reason) == (0, Outcome.SKIPPED, Reason.ALREADY_DONE)
    assert pods.lines() == ["one 0"]
    assert pods.row().state is RunState.DONE


def test_another_slot_is_skipped_while_a_run_has_the_lock(pods: Pods) -> None:
    release = pods.effects.with_name("release")
    first = pods.start("one", hold=str(release))
    pods.working("one")
    code, summary = pods.start("two", slot=NEXT_SLOT).end()
    assert (code, summary.outcome, summary.reason) == (0, Outcome.SKIPPED, Reason.LOCKED)
    release.touch()
    assert first.end()[0] == 0
    assert pods.lines() == ["one 0"]


def test_sigterm_in_the_middle_releases_the_lock_keeps_what_was_done_and_another_pod_goes_on(pods: Pods) -> None:
    first = pods.start("one", steps=2000, step_seconds=0.05)
    pods.working("one")
    first.signal(signal.SIGTERM)
    code, summary = first.end()
    assert (code, summary.outcome, summary.reason, summary.attempts) == (75, Outcome.RETRY, Reason.TERMINATED, 0)
    assert 0 < len(pods.lines()) < 2000
    assert not lock_exists(pods.redis_url)
    row = pods.row()
    assert (row.state, row.attempts, row.owner) == (RunState.RETRY, 0, None)
    assert pods.start("two").end()[0] == 0
    assert row.lease_until is not None
    assert datetime.now(UTC) < row.lease_until, "it waited for the lease"
    assert pods.row().state is RunState.DONE


def test_sigterm_during_the_pause_between_two_passes_ends_it_at_once(pods: Pods) -> None:
    pod = pods.start("one", then="temporary")
    wait_until(lambda: pods.lines() != [] and pods.row().attempts == 1, "the first pass failed")
    pod.signal(signal.SIGTERM)
    code, summary = pod.end()
    assert (code, summary.reason, summary.attempts) == (75, Reason.TERMINATED, 1)


def test_sigkill_leaves_the_lock_until_its_ttl_and_the_same_run_goes_on_then(pods: Pods) -> None:
    first = pods.start("one", steps=1, step_seconds=60, lock_seconds=3)
    pods.working("one")
    first.kill()
    assert lock_exists(pods.redis_url)
    began = time.monotonic()
    code, summary = pods.start("two").end()
    assert (code, summary.outcome) == (0, Outcome.DONE)
    assert time.monotonic() - began > 1, "it did not wait for the lock"
    assert pods.lines() == ["one 0", "two 0"]
    row = pods.row()
    assert (row.state, row.attempts) == (RunState.DONE, 0)


def test_after_sigkill_the_next_slot_completes_once_the_lock_ran_out(pods: Pods) -> None:
    first = pods.start("one", steps=1, step_seconds=60, lock_seconds=3)
    pods.working("one")
    first.kill()
    wait_until(lambda: not lock_exists(pods.redis_url), "the lock runs out")
    code, summary = pods.start("two", slot=NEXT_SLOT).end()
    assert (code, summary.outcome) == (0, Outcome.DONE)
    assert pods.lines() == ["one 0", "two 0"]
    assert pods.row().owner is None, "the killed one's writes count no more"


def test_a_holder_that_was_stopped_past_its_ttl_writes_nothing_more(pods: Pods) -> None:
    first = pods.start("one", steps=1000, step_seconds=0.1, lock_seconds=3)
    pods.working("one")
    first.signal(signal.SIGSTOP)
    wait_until(lambda: not lock_exists(pods.redis_url), "the lock runs out")
    written = len(pods.lines())
    assert pods.start("two", slot=NEXT_SLOT).end()[0] == 0
    first.signal(signal.SIGCONT)
    code, summary = first.end()
    assert (code, summary.reason) == (75, Reason.UNAVAILABLE)
    assert len(pods.lines()) == written + 1  # the other one's


def test_redis_down_from_the_start_is_temporary_and_nothing_is_done(pods: Pods) -> None:
    pods.redis_url = f"redis://127.0.0.1:{free_port()}/0"
    code, summary = pods.start("one").end()
    assert (code, summary.outcome, summary.reason) == (75, Outcome.RETRY, Reason.UNAVAILABLE)
    assert pods.lines() == []
    assert pods.row().state is RunState.RETRY


def test_redis_lost_in_the_middle_stops_the_job_when_its_lock_runs_out(pods: Pods, own_redis: RedisServer) -> None:
    pod = pods.start("one", steps=1000, step_seconds=0.05, lock_seconds=3)
    pods.working("one")
    own_redis.stop()
    code, summary = pod.end()
    assert (code, summary.reason) == (75, Reason.UNAVAILABLE)
    assert 0 < len(pods.lines()) < 1000
    own_redis.start()
    assert pods.start("two").end()[0] == 0
    assert pods.row().state is RunState.DONE


def test_a_failure_while_redis_is_lost_cannot_be_booked_and_is_not_retried_in_the_process(
    pods: Pods, own_redis: RedisServer
) -> None:
    release = pods.effects.with_name("release")
    pod = pods.start("one", hold=str(release), then="temporary", lock_seconds=30)
    pods.working("one")
    own_redis.stop()
    release.touch()
    code, summary = pod.end()
    assert (code, summary.attempts) == (75, 0)
    assert pods.lines() == ["one 0"]
    assert pods.letters() == []


def test_redis_lost_just_before_the_end_does_not_undo_a_finished_run(pods: Pods, own_redis: RedisServer) -> None:
    release = pods.effects.with_name("release")
    pod = pods.start("one", hold=str(release), lock_seconds=30)
    pods.working("one")
    own_redis.stop()
    release.touch()
    assert pod.end()[0] == 0
    assert pods.row().state is RunState.DONE


def test_the_budget_is_one_over_all_pods_and_its_end_is_one_dead_letter(pods: Pods) -> None:
    first = pods.start("one", then="temporary")
    wait_until(lambda: pods.lines() != [] and pods.row().attempts == 2, "two passes failed")
    first.kill()  # in the pause before the third
    code, summary = pods.start("two", then="temporary").end()
    assert (code, summary.outcome, summary.reason) == (65, Outcome.FAILED, Reason.BUDGET_SPENT)
    assert summary.attempts == 4
    assert pods.lines() == ["one 0"] * 2 + ["two 0"] * 2
    assert (pods.letters(), pods.row().state) == ([KEY], RunState.FAILED)


def test_four_crashes_are_four_pods_and_one_dead_letter_once_the_lease_ran_out(pods: Pods) -> None:
    for number in range(4):
        assert pods.start(f"pod-{number}", then="crash", deadline_seconds=11).end()[0] == 1
    assert len(pods.lines()) == 4
    assert (pods.letters(), pods.row().attempts, pods.row().reason) == ([], 0, Reason.CRASHED)
    lease = pods.row().lease_until
    before = (lease - datetime.now(UTC)).total_seconds()
    assert pods.start("next", slot=NEXT_SLOT, ahead_seconds=before - 20).end()[0] == 0
    assert pods.letters() == [], "its lease is not over"
    assert pods.start("later", slot=LATER_SLOT, ahead_seconds=before + 20).end()[0] == 0
    assert pods.letters() == [KEY]
    # A pod of the old run after all: it takes its letter away.
    assert pods.start("late").end()[0] == 0
    assert pods.letters() == []
