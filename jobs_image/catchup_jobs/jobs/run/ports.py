"""What the run harness needs of the outside; adapters implement it, tests too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from catchup_contract.kinds import Kind
from catchup_contract.outcomes import Reason
from catchup_contract.run_keys import replay_key, run_key
from catchup_contract.summary import Count
from catchup_jobs.domain.vocabulary import RunState


@dataclass(frozen=True, slots=True)
class Run:
    """One run: what is to be done for whom, whichever process does it.

    Attributes:
        subject: the user's id, or the shard.
        slot: the slot that it serves (UTC), None for a manual run.
        manual_id: tells one manual run from another; used only without a slot.
        replays: the key of a run that was given up, when this one is to do its work after all.
    """

    kind: Kind
    subject: str
    slot: datetime | None
    manual_id: str
    replays: str | None = None

    @property
    def key(self) -> str:
        """The key under which it is booked."""
        if self.replays is not None:
            return replay_key(self.replays)
        return run_key(self.kind, self.subject, slot=self.slot, manual_id=self.manual_id)

    @property
    def lock_name(self) -> str:
        """The name of the lock that all runs of this kind for this subject share."""
        return f"{self.kind}:{self.subject}"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What the database knows of a run when a process opens or claims it."""

    state: RunState
    attempts: int = 0
    checkpoint: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A run that is not tried again by itself.

    Attributes:
        reason: why the last attempt failed.
        error_class: the class of its error.
    """

    reason: Reason
    error_class: str


@dataclass(frozen=True, slots=True)
class Closing:
    """How a run, or this process's part in it, is recorded.

    Attributes:
        letter: written together with the run's end, or None.
    """

    state: RunState
    reason: Reason | None
    attempts: int
    counts: dict[Count, int]
    checkpoint: dict[str, Any]
    letter: DeadLetter | None = None


@dataclass(frozen=True, slots=True)
class Fence:
    """What a write transaction shows the database to prove that its process still holds the run."""

    run_key: str
    owner: str


class RunStore(Protocol):
    """The book of runs and dead letters. Every method is one transaction and raises `JobError`."""

    def open(self, run: Run, *, now: datetime, lease_until: datetime) -> RunRecord:
        """Record that the run goes on (unless it is done), remove its dead letter, and sweep expired leases.

        The dead letter of the run that it replays goes too: from here on this run answers for the work.
        """
        ...

    def take_over(self, run: Run, owner: str) -> RunRecord:
        """Make `owner` the only process whose writes for this kind and subject count. Call it under the lock."""
        ...

    def record_attempt(self, fence: Fence, *, attempts: int, reason: Reason, checkpoint: dict[str, Any]) -> None:
        """Mirror the number of attempts; it never falls."""
        ...

    def close(self, run: Run, owner: str, closing: Closing, *, now: datetime) -> bool:
        """Record the end; return False, and change nothing, if another process has claimed the run."""
        ...


class Lock(Protocol):
    """A lock that this process was given."""

    def is_held(self) -> bool:
        """Whether it is still ours, as far as can be told without asking."""
        ...

    def release(self) -> None:
        """Give it back; never raises, since the lock runs out by itself."""
        ...


@dataclass(frozen=True, slots=True)
class HeldBy:
    """The lock is another process's; `run_key` is the run that it serves ("" where unknown)."""

    run_key: str


class RunLocks(Protocol):
    """What processes on different machines agree on while they run. Every method raises `JobError`."""

    def acquire(self, lock_name: str, run_key: str) -> Lock | HeldBy:
        """Take the lock, or tell who has it; does not wait."""
        ...

    def attempts(self, run_key: str) -> int:
        """Return the number of booked attempts."""
        ...

    def record_attempt(self, run_key: str, attempt_id: str) -> int:
        """Book an attempt and return their number; the same id twice counts once."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The process's clock, sleep, chance and signals.

    Attributes:
        now: returns the current time, aware UTC.
        sleep: sleeps for so many seconds, less if a termination is requested.
        random: returns a number in [0, 1).
        stopping: whether a termination (SIGTERM) was requested.
        process_id: unique to this process (the pod's uid).
    """

    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    random: Callable[[], float]
    stopping: Callable[[], bool]
    process_id: str
