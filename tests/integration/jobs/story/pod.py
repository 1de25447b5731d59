"""Where a story's pods come from: `python -m integration.jobs.story.pod CLOCK`, a nursery that lives by this clock."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from integration.jobs.nursery import Forking
from integration.jobs.story.clock import Clock

from catchup_jobs.adapters.database import engine
from catchup_jobs.adapters.google import http as google_http
from catchup_jobs.adapters.google.http import Http
from catchup_jobs.adapters.messaging.smtp_email import SmtpEmail
from catchup_jobs.adapters.messaging.twilio_http import BoundedHttp
from catchup_jobs.adapters.redis.locks import RedisLocks
from catchup_jobs.cli.jobs import job_runner, pool
from catchup_jobs.jobs.run.ports import Process


def keep_time_by(clock: Clock) -> None:
    """Let the jobs of this process live by the clock, and all that they wait for in real time be as much shorter."""
    jobs: Any = job_runner
    ticks: Any = pool
    real = jobs.current_process

    @contextmanager
    def hurried(process_id: str) -> Iterator[Process]:
        with real(process_id) as around:
            yield replace(around, now=clock.now, sleep=lambda seconds: around.sleep(seconds / clock.speed))

    jobs.current_process = ticks.current_process = hurried
    for module, name in ((google_http, "REQUEST_SECONDS"), (engine, "_BUSY_TIMEOUT_SECONDS")):
        setattr(module, name, getattr(module, name) / clock.speed)
    timed: list[Any] = [Http.__init__, BoundedHttp.__init__, SmtpEmail.__init__, RedisLocks.open.__func__]  # type: ignore[attr-defined]
    for function in timed:
        for name, value in function.__kwdefaults__.items():
            if isinstance(value, float):
                function.__kwdefaults__[name] = value / clock.speed


if __name__ == "__main__":
    keep_time_by(Clock(Path(sys.argv[1])))
    Forking().serve()
