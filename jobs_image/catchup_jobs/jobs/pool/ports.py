"""The ports of a tick: the members of a pool, as the database keeps them, and what a pod says without the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from catchup_contract.timestamps import format_utc
from catchup_jobs.jobs.run.ports import Run

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from catchup_contract.kinds import Kind
    from catchup_contract.summary import Count
    from catchup_jobs.domain.placement.job_slots import Slots, When


@dataclass(frozen=True, slots=True)
class Member:
    """A user whom this process has claimed for one kind of job.

    Attributes:
        slots: the user's slots of the kind.
        slot: the one to serve (UTC), None where there is none.
        requested_at: the request by hand (UTC) that is served before the slot, None where there is none.
        is_retry: whether its run was begun before.
        deaths: how many processes died, or crashed, while they served this slot.
    """

    user_id: str
    when: When
    slots: Slots
    slot: datetime | None
    is_retry: bool
    deaths: int
    requested_at: datetime | None = None

    @property
    def keeps_slot(self) -> bool:
        """Whether the slot stays the same if its run is not made now: it was begun before, or a request comes first."""
        return self.is_retry or self.requested_at is not None

    def run(self, kind: Kind) -> Run:
        """Return the run to make: for a request one by hand, the same one each time."""
        if self.requested_at is not None:
            return Run(kind, self.user_id, None, f"requested-{format_utc(self.requested_at)}")
        return Run(kind, self.user_id, self.slot, manual_id="")


@dataclass(frozen=True, slots=True)
class Settlement:
    """What becomes of a claim.

    Attributes:
        due_at: from when the member is due again (UTC).
        unfinished: the slot to try again then, None where the slot has ended.
        answered: the request by hand that has ended (UTC).
        synced_at: when the sync began that has ended well (UTC), None of other runs.
    """

    user_id: str
    due_at: datetime
    unfinished: datetime | None = None
    deaths: int = 0
    answered: datetime | None = None
    synced_at: datetime | None = None


class PoolStore(Protocol):
    """The members of one pool for one kind, in one shard. Each method is one transaction and raises JobError."""

    def schedule(self, *, now: datetime, limit: int) -> int:
        """Compute when members are due whose schedule is new or changed; return how many, at most `limit`.

        Whom somebody else changes at this moment is left out.
        """
        ...

    def release(self, *, now: datetime) -> None:
        """End the membership of users who leave the pool and for whom nothing is due, begun or put back."""
        ...

    def due(self, *, now: datetime, limit: int) -> list[str]:
        """Return the users who are due, without those of `suspects`: by priority, the longest first."""
        ...

    def suspects(self, *, now: datetime) -> list[str]:
        """Return the users who are due and were in flight when a process died."""
        ...

    def suspected(self, *, now: datetime) -> set[str]:
        """Return the processes in whose runs those of `suspects` were in flight."""
        ...

    def acquit(self, processes: Collection[str], *, now: datetime) -> None:
        """End the claims of processes that have not died: their members are no suspects for that."""
        ...

    def claim(self, user_ids: Sequence[str], owner: str, *, now: datetime, until: datetime) -> list[Member]:
        """Claim users who are still due, for the process `owner` until `until`; return those it got."""
        ...

    def settle(self, owner: str, settlements: Sequence[Settlement]) -> None:
        """End claims. A claim that another process has taken over stays as it is."""
        ...

    def next_due_at(self) -> datetime | None:
        """Return when the next member falls due (UTC), None where there is no member."""
        ...

    def counts(self, *, now: datetime) -> dict[Count, int]:
        """Return the counts of the whole pool for its status, over all shards."""
        ...


class Farewells(Protocol):
    """What processes say at their end where the database cannot be told. Methods raise nothing."""

    def say(self, process_id: str) -> None:
        """Say that all runs of a process have ended, though it cannot settle its claims."""
        ...

    def said(self, process_ids: Collection[str]) -> set[str]:
        """Return those of these processes that said so, as far as is known."""
        ...
