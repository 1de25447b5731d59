"""A story's pods, as the test's process sees them: started, killed, waited for, and what they said."""

from __future__ import annotations

import itertools
import os
import signal
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from integration.jobs import nursery
from integration.jobs.nursery import FORK_SECONDS, Forked, Nursery

from catchup_contract.env import Env
from catchup_contract.summary import InvalidSummaryError, Summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@dataclass
class Pod:
    """One process.

    Attributes:
        process: not yet forked until the pod was started.
    """

    number: int
    arguments: Sequence[str]
    directory: Path
    process: Forked = field(default_factory=Forked)

    @property
    def exit_code(self) -> Future[int]:
        return self.process.exit_code

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

    @property
    def serves_a_pool(self) -> bool:
        return "--pool" in self.arguments

    def is_alive(self) -> bool:
        return self.process.pid.done() and not self.exit_code.done()

    def send(self, number: signal.Signals) -> None:
        """Signal the process, if it still lives."""
        if self.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self.process.pid.result(), number)

    def __str__(self) -> str:
        return f"pod {self.number} ({' '.join(self.arguments)})"


class Pods:
    """All pods that live by one clock."""

    def __init__(self, nursery: Nursery) -> None:
        self._nursery = nursery
        self._numbers = itertools.count(1)
        self._pods: list[Pod] = []

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], *, directory: Path) -> Pod:
        """Start `catchup-jobs` with these arguments and nothing but this environment; its files go to the directory."""
        pod = Pod(next(self._numbers), arguments, directory)
        whole = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            Env.TERMINATION_LOG: str(pod.termination_log),
            Env.POD_UID: f"pod-{pod.number}",
            Env.LOG_FORMAT: "json",
            **environment,
        }
        pod.process = self._nursery.fork(arguments, whole, out=pod.log, err=pod.log)
        self._pods.append(pod)
        return pod

    def alive(self, job: str | None = None) -> list[Pod]:
        """Return the pods (of one kind) that live now, oldest first."""
        return [pod for pod in [*self._pods] if pod.is_alive() and job in {None, pod.arguments[0]}]

    def forget(self) -> None:
        """Kill what lives and start from an empty book."""
        for pod in self.alive():
            pod.send(signal.SIGKILL)
            pod.exit_code.result(FORK_SECONDS)
        self._pods.clear()


@contextmanager
def running(clock_file: Path) -> Iterator[Pods]:
    """Give pods by the clock of this file, until the block ends."""
    with nursery.running("integration.jobs.story.pod", str(clock_file)) as source:
        pods = Pods(source)
        try:
            yield pods
        finally:
            pods.forget()
