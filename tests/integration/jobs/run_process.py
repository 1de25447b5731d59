"""A job's process, for tests that kill it: a nursery runs `main` with JSON as its argument.

The job writes one line per step to a file and ends, from step to step, as the script says. `hold` names a file that it
waits for in its last step. Its clock may be ahead.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from catchup_contract.kinds import SYNC
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.runs.store import DatabaseRunStore, check_fence
from catchup_jobs.adapters.process import current_process
from catchup_jobs.adapters.redis.locks import RedisLocks
from catchup_jobs.jobs.run.context import Result, RunContext
from catchup_jobs.jobs.run.errors import TemporaryError
from catchup_jobs.jobs.run.execution import run_job
from catchup_jobs.jobs.run.ports import Run


def main() -> None:
    """Run as the JSON says and exit with the run's code."""
    options = json.loads(sys.argv[1])
    effects = Path(options["effects"])
    database = Database.open(options["database_url"])

    def body(context: RunContext) -> Result:
        with effects.open("a") as file:
            for step in range(options.get("steps", 1)):
                context.check_stop()
                with database.write() as connection:
                    check_fence(connection, context.fence)
                    file.write(f"{options['pod']} {step}\n")
                    file.flush()
                time.sleep(options.get("step_seconds", 0))
            while "hold" in options and not Path(options["hold"]).exists():
                time.sleep(0.05)
        match options.get("then"):
            case "temporary":
                raise TemporaryError("scripted")
            case "crash":
                raise ZeroDivisionError
            case _:
                return Result()

    slot = datetime.fromisoformat(options["slot"])
    with current_process(options["pod"]) as process:
        ahead = timedelta(seconds=options.get("ahead_seconds", 0))
        report = run_job(
            body,
            Run(SYNC, "ada", slot, ""),
            store=DatabaseRunStore(database),
            locks=RedisLocks.open(options["redis_url"], lock_seconds=options.get("lock_seconds", 5)),
            process=replace(process, now=lambda: process.now() + ahead),
            deadline_seconds=options.get("deadline_seconds", 600),
        )
    sys.stdout.write(report.summary.to_json() + "\n")
    sys.exit(report.exit_code)
