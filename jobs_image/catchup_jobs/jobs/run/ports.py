"""The ports of a run: the store of runs, locks, the process; implemented by adapters and by tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from catchup_contract.kinds import Kind
from catchup_contract.outcomes import Reason
from catchup_contract.run_keys import replay_key, run_key
from catchup_contract.summary import Count
from catchup_jobs.domain.stored_enums import RunState


@dataclass(frozen=True, slots=True)
class Run:
    """One run: a kind of job for a subject, whichever process executes it.

    Attributes:
        subject: the user's id, or the shard.
        slot: the slot that it serves (UTC), None for a manual run.
        manual_id: tells one manual run from another; used only without a slot.
        replays: the key of the failed run that this one replays, None otherwise.
    """

    kind: Kind
    subject: str
    slot: datetime | None
    manual_id: str
    replays: str | None = None

    @property
    def key(self) -> str:
        """The key under which the run is stored."""
        if self.replays is not None:
            return replay_key(self.replays)
        return run_key(self.kind, self.subject, slot=self.slot, manual_id=self.manual_id)

    @property
    def lock_name(self) -> str:
        """The name of the lock that all runs of this kind for this subject share."""
        return f"{self.kind}:{self.subject}"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What the database holds of a run when a process opens it or takes it over.

    Attributes:
        is_new: whether it had nothing of the run before.
    """

    state: RunState
    attempts: int = 0
    checkpoint: dict[str, Any] = field(default_factory=dict)
    is_new: bool = False


# In the dead letter of a run of which no process told until its lease had expired.
LEASE_EXPIRED: Final = "LeaseExpired"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A run that is not tried again automatically.

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
        dead_letter: written together with the run's end, or None.
        lease_until: until when somebody must have tried the run again (UTC); None: as it was opened.
    """

    state: RunState
    reason: Reason | None
    attempts: int
    counts: dict[Count, int]
    checkpoint: dict[str, Any]
    dead_letter: DeadLetter | None = None
    lease_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fence:
    """What a write transaction presents to the database: its process must still own the run."""

    run_key: str
    owner: str


class RunStore(Protocol):
    """Runs and dead letters. Every method is one transaction and raises `JobError`."""

    def open(self, run: Run, *, now: datetime, lease_until: datetime, owner: str | None = None) -> RunRecord:
        """Record that the run goes on (unless it is done) and remove its dead letter.

        Now and then it also fails runs with expired leases.

        The dead letter of the run that it replays is removed too: this run replaces it.

        Args:
            owner: takes the run over as well; see there.
        """
        ...

    def take_over(self, run: Run, owner: str) -> RunRecord:
        """Make `owner` the only process whose writes for this kind and subject are accepted; call it under the lock."""
        ...

    def record_attempt(self, fence: Fence, *, attempts: int, reason: Reason, checkpoint: dict[str, Any]) -> None:
        """Store the number of attempts; it never decreases."""
        ...

    def close(self, run: Run, owner: str, closing: Closing, *, now: datetime) -> bool:
        """Record the end; return False, and change nothing, if another process has taken the run over."""
        ...


class Lock(Protocol):
    """A lock that this process took."""

    def is_held(self) -> bool:
        """Whether it is still ours, as far as is known without a request."""
        ...

    def release(self) -> None:
        """Release it; never raises, since the lock expires."""
        ...


@dataclass(frozen=True, slots=True)
class HeldBy:
    """Another process holds the lock, for the run `run_key` ("" where unknown)."""

    run_key: str


class RunLocks(Protocol):
    """Locks for kinds and subjects, and attempts of runs, across machines. Every method raises `JobError`."""

    def acquire(self, lock_name: str, run_key: str) -> Lock | HeldBy:
        """Take the lock, or return who holds it; does not wait."""
        ...

    def attempts(self, run_key: str) -> int:
        """Return the number of recorded attempts."""
        ...

    def record_attempt(self, run_key: str, attempt_id: str) -> int:
        """Record an attempt and return the number of attempts; the same id twice counts once."""
        ...


@dataclass(frozen=True, slots=True)
class Process:
    """The process's clock, sleep, random numbers and signals.

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
