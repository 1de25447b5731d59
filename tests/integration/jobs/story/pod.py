"""Where a story's pods come from: `python -m integration.jobs.story.pod CLOCK`, which forks a process for each.

A forked process has everything imported already, so that a hundred cost no more than their work. It is a process like a
pod's in all else: `catchup-jobs` with arguments and an environment of its own, its own connections, and any signal ends
it alone. Orders come as lines of JSON on standard input, `{"number", "arguments", "environment", "log"}`; lines
`started NUMBER PID` and `ended NUMBER CODE` go to standard output.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

# What the jobs import where they need it.
import psycopg  # noqa: F401
import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401
from integration.jobs.story.clock import Clock

from catchup_jobs import cli
from catchup_jobs.adapters import google_http
from catchup_jobs.adapters.coordination import RedisCoordination
from catchup_jobs.adapters.database import engine
from catchup_jobs.adapters.google_http import Http
from catchup_jobs.adapters.smtp_email import SmtpEmail
from catchup_jobs.adapters.twilio_http import BoundedHttp
from catchup_jobs.adapters.twilio_sms import TwilioSms  # noqa: F401
from catchup_jobs.cli import harness
from catchup_jobs.jobs.ports import Surroundings


def keep_time_by(clock: Clock) -> None:
    """Let the jobs of this process live by the clock, and all that they wait for in real time be as much shorter."""
    process: Any = harness
    real = process.surroundings

    @contextmanager
    def hurried(process_id: str) -> Iterator[Surroundings]:
        with real(process_id) as around:
            yield replace(around, now=clock.now, sleep=lambda seconds: around.sleep(seconds / clock.speed))

    process.surroundings = hurried
    for module, name in ((google_http, "BODY_TIMEOUT_SECONDS"), (engine, "_BUSY_TIMEOUT_SECONDS")):
        setattr(module, name, getattr(module, name) / clock.speed)
    timed: list[Any] = [Http.__init__, BoundedHttp.__init__, SmtpEmail.__init__, RedisCoordination.open.__func__]  # type: ignore[attr-defined]
    for function in timed:
        for name, value in function.__kwdefaults__.items():
            if isinstance(value, float):
                function.__kwdefaults__[name] = value / clock.speed


class Nursery:
    """Forks and buries."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._selector.register(0, selectors.EVENT_READ)
        self._living: dict[int, tuple[int, int]] = {}
        self._unread = b""

    def serve(self) -> None:
        """Serve until standard input is closed."""
        while True:
            for key, _ in self._selector.select():
                if key.fd in self._living:
                    self._bury(key.fd)
                elif not self._read():
                    return

    def _read(self) -> bool:
        data = os.read(0, 65536)
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._bear(json.loads(line))
        return bool(data)

    def _bear(self, order: dict[str, Any]) -> None:
        pid = os.fork()
        if pid == 0:
            _live(order)
        handle = os.pidfd_open(pid)
        self._living[handle] = (order["number"], pid)
        self._selector.register(handle, selectors.EVENT_READ)
        _tell(f"started {order['number']} {pid}")

    def _bury(self, handle: int) -> None:
        number, pid = self._living.pop(handle)
        self._selector.unregister(handle)
        os.close(handle)
        _, status = os.waitpid(pid, 0)
        _tell(f"ended {number} {os.waitstatus_to_exitcode(status)}")


def _tell(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def _live(order: dict[str, Any]) -> None:
    """Be the pod; never returns."""
    log = os.open(order["log"], os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, null), (1, log), (2, log)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = ["catchup-jobs", *order["arguments"]]
    code: Any = 1
    try:
        cli.main()
    except SystemExit as ending:
        code = ending.code or 0
    except BaseException:  # noqa: BLE001 - the end of the process
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    keep_time_by(Clock(Path(sys.argv[1])))
    gc.collect()
    gc.freeze()
    Nursery().serve()
