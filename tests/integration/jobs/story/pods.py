"""A story's pods, as the test's process sees them: started, killed, waited for, and what they said."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from catchup_jobs.contract import Env, InvalidSummaryError, Summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT: Final = Path(__file__).parents[4]
_FORK_SECONDS: Final = 30.0


@dataclass
class Pod:
    """One process.

    Attributes:
        exit_code: that of the process when it has ended, or minus the signal that killed it.
    """

    number: int
    arguments: Sequence[str]
    directory: Path
    pid: Future[int] = field(default_factory=Future)
    exit_code: Future[int] = field(default_factory=Future)

    @property
    def log(self) -> Path:
        return self.directory / f"pod-{self.number}.log"

    @property
    def termination_log(self) -> Path:
        return self.directory / f"pod-{self.number}.json"

    @property
    def summary(self) -> Summary | None:
        """What it said of its run; None where it was killed before it could."""
        with suppress(FileNotFoundError, InvalidSummaryError):
            return Summary.from_json(self.termination_log.read_text(encoding="utf-8"))
        return None

    def is_alive(self) -> bool:
        return self.pid.done() and not self.exit_code.done()

    def send(self, number: signal.Signals) -> None:
        """Signal the process, if it still lives."""
        if self.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid.result(), number)

    def __str__(self) -> str:
        return f"pod {self.number} ({' '.join(self.arguments)})"


class Pods:
    """All pods that live by one clock."""

    def __init__(self, nursery: subprocess.Popen[str]) -> None:
        self._nursery = nursery
        self._numbers = itertools.count(1)
        self._pods: dict[int, Pod] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, name="pods", daemon=True).start()

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], *, directory: Path) -> Pod:
        """Start `catchup-jobs` with these arguments and nothing but this environment; its files go to the directory."""
        with self._lock:
            number = next(self._numbers)
            pod = self._pods[number] = Pod(number, arguments, directory)
            whole = {
                "PATH": os.environ["PATH"],
                "HOME": str(directory),
                Env.TERMINATION_LOG: str(pod.termination_log),
                Env.POD_UID: f"pod-{number}",
                Env.LOG_FORMAT: "json",
                **environment,
            }
            order = {"number": number, "arguments": list(arguments), "environment": whole, "log": str(pod.log)}
            assert self._nursery.stdin is not None
            self._nursery.stdin.write(json.dumps(order) + "\n")
            self._nursery.stdin.flush()
        pod.pid.result(_FORK_SECONDS)
        return pod

    def alive(self, job: str | None = None) -> list[Pod]:
        """Return the pods (of one kind) that live now, oldest first."""
        pods = list(self._pods.values())
        return [pod for pod in pods if pod.is_alive() and job in {None, pod.arguments[0]}]

    def forget(self) -> None:
        """Kill what lives and start from an empty book."""
        for pod in self.alive():
            pod.send(signal.SIGKILL)
            pod.exit_code.result(_FORK_SECONDS)
        self._pods.clear()

    def _listen(self) -> None:
        assert self._nursery.stdout is not None
        for line in self._nursery.stdout:
            what, number, value = line.split()
            pod = self._pods[int(number)]
            (pod.pid if what == "started" else pod.exit_code).set_result(int(value))


@contextmanager
def running(clock_file: Path) -> Iterator[Pods]:
    """Give pods by the clock of this file, until the block ends."""
    paths = os.pathsep.join(str(ROOT / name) for name in ("jobs_image", "tests", "dev"))
    nursery = subprocess.Popen(
        [sys.executable, "-m", "integration.jobs.story.pod", str(clock_file)],
        env={**os.environ, "PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with nursery:
        pods = Pods(nursery)
        try:
            yield pods
        finally:
            pods.forget()
            assert nursery.stdin is not None
            nursery.stdin.close()
