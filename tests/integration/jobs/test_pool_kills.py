"""A pool's pod killed at every line around a claim: the next tick serves everybody once, those in flight alone."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from integration.jobs.nursery import ROOT
from integration.jobs.pool_process import LATER
from integration.jobs.pool_world import NOW, PoolWorld, cadence_of
from samples import IN_FULL
from sqlalchemy import select

from catchup_jobs.adapters.database.schema import runs
from catchup_jobs.jobs.pool.process_deaths import PROCESS_DIED
from catchup_jobs.jobs.run.context import Result, RunContext

if TYPE_CHECKING:
    from collections.abc import Sequence

MEMBERS = 3
# With each database, and with one death and two, another part of the lines.
EVERY = 1 if IN_FULL else 12
POOLS = 160 // EVERY + 1


def users_of(number: int) -> list[str]:
    """Return the users of a pool: those who have no slot of their own while it lasts."""
    names = (f"u{number:03}-{each}" for each in itertools.count())
    quiet = (name for name in names if cadence_of(name).latest(NOW + 3 * LATER) <= NOW)
    return list(itertools.islice(quiet, MEMBERS))


def killed(pool: PoolWorld, pools: Sequence[str], made: Path, *, twice: bool) -> dict[str, Any]:
    """Let ticks of these pools die; return what `pool_process` printed."""
    variant = twice + 2 * (pool.database.backend == "postgresql")
    options = {
        "database_url": pool.database.engine.url.render_as_string(hide_password=False),
        "now": pool.now.isoformat(),
        "version": pool.version,
        "locks": str(pool.lock_directory),
        "made": str(made),
        "pools": pools,
        "first": variant * EVERY // 4,
        "every": EVERY,
        "twice": twice,
    }
    paths = os.pathsep.join(str(ROOT / name) for name in ("contract", "jobs_image", "tests", "dev"))
    ended = subprocess.run(
        [sys.executable, "-m", "integration.jobs.pool_process", json.dumps(options)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    told: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return told


def owners_of_runs(pool: PoolWorld) -> dict[str, str]:
    """Return by their users the processes that were making a run and have not ended it."""
    with pool.database.read() as connection:
        rows = connection.execute(select(runs.c.subject, runs.c.owner).where(runs.c.owner.is_not(None)))
        return {row.subject: row.owner for row in rows}


@pytest.mark.sampled
@pytest.mark.parametrize("twice", [False, True], ids=["one death", "two deaths"])
def test_a_pod_killed_at_any_line_around_a_claim_costs_nobody_a_run_and_repeats_none_that_was_recorded(
    pool: PoolWorld, tmp_path: Path, twice: bool
) -> None:
    members = {f"pool-{number}": users_of(number) for number in range(POOLS)}
    for name, users in members.items():
        pool.enrol(*users, pool=name)
    made = tmp_path / "made"
    told = killed(pool, list(members), made, twice=twice)
    assert told["passed"] > 60
    in_flight: list[tuple[str, int]] = []

    def body(context: RunContext) -> Result:
        name = f"pool-{int(context.subject[1:4])}"
        claimed = sum(pool.row(user_id).owner == "next" for user_id in members[name])
        in_flight.append((context.subject, claimed))
        return Result()

    pool.body = body
    ends: Counter[tuple[int, int, int]] = Counter()
    for name, line in zip(list(members)[1:], told["died_at"], strict=False):
        pool.now = NOW + (2 * LATER if twice else LATER)
        users = members[name]
        before = Counter(made.read_text().split() if made.exists() else [])
        rows = {user_id: pool.row(user_id) for user_id in users}
        done = {key.split(":")[1] for key, state in pool.states().items() if state == "done"} & set(users)
        died = {user_id for user_id in users if owners_of_runs(pool).get(user_id, "") == rows[user_id].owner}
        suspects = died | {user_id for user_id, row in rows.items() if row.deaths > 0}
        given_up = {user_id for user_id in died if rows[user_id].deaths == 1}
        in_flight.clear()
        pool.tick(store=pool.store(pool=name), pod="next", workers=2)

        # A run that was recorded is not made again, and all others are made now, but for one in which two pods died.
        assert sorted(user_id for user_id, _ in in_flight) == sorted(set(users) - done - given_up), line
        assert all(before[user_id] == 1 for user_id in done), line
        alone = [each for each in in_flight if each[0] in suspects]
        assert in_flight[: len(alone)] == [(user_id, 1) for user_id, _ in alone], f"{line}: not alone, not first"
        states = {key.split(":")[1]: state for key, state in pool.states().items()}
        letters = {key.split(":")[1]: error for key, error in pool.dead_letters().items()}
        for user_id in users:
            lost = user_id in given_up
            assert states[user_id] == ("failed" if lost else "done"), line
            assert letters.get(user_id) == (PROCESS_DIED if lost else None), line
            row = pool.row(user_id)
            assert (row.owner, row.deaths, row.unfinished) == (None, 0, None), line
            assert row.due_at == cadence_of(user_id).latest(pool.now) + timedelta(minutes=30), line
        ends[len(done), len(suspects), len(given_up)] += 1
    kinds = {(bool(suspects), bool(given_up)) for _, suspects, given_up in ends}
    # The kills really fell before claims and within them, and second ones in a run of a user of the first.
    assert (True, twice) in kinds, ends
    assert any(not suspects for _, suspects, _ in ends) or not IN_FULL, ends
