"""Ticks of pools whose process dies: `python -m integration.jobs.pool_process '<JSON>'`.

It runs a tick of the first pool and notes the lines that it passed around claims. Then, for each of these lines (of
every so many, from the first to be taken) and a pool of its own, it forks a process that runs a tick and dies there, as
by SIGKILL: no handler runs, no transaction ends. Where each is to die twice, another one follows when the claims of the
first are over, and dies in the first run that it makes. It prints as JSON how many lines it passed and at which it
died, in the order of the pools, and appends each run that was made to a file.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from integration.jobs.killed_lines import KILLED, WatchedLines, exit_code_of

from catchup_contract.kinds import SYNC
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.pools.claims import PoolSlots
from catchup_jobs.adapters.database.runs.store import DatabaseRunStore
from catchup_jobs.adapters.files.locks import FileLocks
from catchup_jobs.jobs.pool.ports import Member
from catchup_jobs.jobs.pool.process_deaths import abandon
from catchup_jobs.jobs.pool.tick import Tick, Work
from catchup_jobs.jobs.run.context import Result, RunContext
from catchup_jobs.jobs.run.endings import Report
from catchup_jobs.jobs.run.execution import run_job
from catchup_jobs.jobs.run.ports import Process

# Everything between the decision whom to claim and the record of what came of it, without the run itself.
WATCHED = WatchedLines(
    {
        "claims.py": {"schedule", "_schedule_page", "_computed", "_member", "_due_users", "claim", "settle"},
        "due.py": {"due_at", "member"},
        "tick.py": {"_serve_suspects", "_serve_all", "_next", "_claim", "_serve", "_ended", "_settle", "_count"},
        "claim_endings.py": {"settlement_of"},
        "execution.py": {"_open", "_close"},
        "store.py": {"open", "take_over", "close"},
    },
    in_threads=True,
)
LEASE = timedelta(minutes=15)
# The claims of a pod that died are over by then.
LATER = timedelta(minutes=7)


@dataclass
class Pod:
    """One tick of a pool, one member after the other, with a clock that stands still."""

    options: dict[str, Any]

    def tick(self, pool: str, *, dies: bool = False) -> None:
        """Run the tick; one that `dies` does so in its first run."""
        now = datetime.fromisoformat(self.options["now"]) + (LATER if dies else timedelta(0))
        database = Database.open(self.options["database_url"])
        process = Process(
            now=lambda: now,
            sleep=lambda _: None,
            random=lambda: 0.5,
            stopping=lambda: False,
            process_id=f"pod-{os.getpid()}-of-{pool}",
        )
        runs, locks = DatabaseRunStore(database), FileLocks(Path(self.options["locks"]))

        def body(context: RunContext) -> Result:
            if dies:
                os._exit(KILLED)
            with Path(self.options["made"]).open("a") as file:
                file.write(f"{context.subject}\n")
            return Result()

        def serve(member: Member) -> Report:
            run = member.run(SYNC)
            return run_job(
                body,
                run,
                store=runs,
                locks=locks,
                process=process,
                deadline_seconds=300,
                waits=False,
                lease_margin=LEASE,
            )

        def give_up(member: Member) -> Report:
            return abandon(member.run(SYNC), store=runs, process=process, lease=LEASE)

        store = PoolSlots(database, pool, SYNC, "30m", self.options["version"])
        Tick(SYNC, store, Work(serve, give_up), process, now + timedelta(seconds=300), workers=1)()
        database.close()


def main(text: str) -> None:
    """Run all ticks."""
    options = json.loads(text)
    pod = Pod(options)
    pools = iter(options["pools"])
    first = next(pools)
    lines = WATCHED.passed_by(lambda: pod.tick(first))
    chosen = list(itertools.islice(lines, options["first"], None, options["every"]))
    for line in chosen:
        pool = next(pools)
        code = WATCHED.die_at(line, partial(pod.tick, pool))
        assert code == KILLED, f"{line}: {code}"
        if options["twice"]:
            # Where all runs were made there is none to die in.
            assert exit_code_of(partial(pod.tick, pool, dies=True)) in {KILLED, 0}
    json.dump({"passed": len(lines), "died_at": chosen}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
