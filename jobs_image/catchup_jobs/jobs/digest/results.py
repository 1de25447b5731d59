"""How a digest's run is told: its counts, its outcome, and which of several troubles decides what happens next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from catchup_contract.outcomes import Outcome, Reason
from catchup_contract.summary import Count
from catchup_jobs.domain.digest.channels import reason_for_nothing
from catchup_jobs.domain.vocabulary import DeliveryStatus, SkipReason
from catchup_jobs.jobs.run.context import Result
from catchup_jobs.jobs.run.errors import JobError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from catchup_jobs.domain.vocabulary import Channel
    from catchup_jobs.jobs.digest.ports import Delivery

REASONS: Final = {
    SkipReason.EMPTY: Reason.EMPTY,
    SkipReason.LATE: Reason.LATE,
    SkipReason.PAUSED: Reason.PAUSED,
    SkipReason.QUIET_HOURS: Reason.QUIET_HOURS,
    SkipReason.NOT_CONFIGURED: Reason.NOT_CONFIGURED,
}


class Tally:
    """What a run did, kept in its checkpoint: a pass after a failed one still counts what that one sent."""

    def __init__(self, checkpoint: dict[str, Any]) -> None:
        self._checkpoint = checkpoint

    def add(self, count: Count) -> None:
        """Count one more."""
        self._checkpoint[count] = self._checkpoint.get(count, 0) + 1

    def set(self, count: Count, number: int) -> None:
        """Let a count be a number."""
        self._checkpoint[count] = number

    def has(self, *counts: Count) -> bool:
        """Return whether any of these was counted."""
        return any(self._checkpoint.get(count) for count in counts)

    def counts(self) -> dict[Count, int]:
        """Return all counts."""
        return {count: self._checkpoint[count] for count in Count if count in self._checkpoint}


def result_of(deliveries: Mapping[Channel, Delivery], tally: Tally) -> Result:
    """Return how a run ends whose date is settled: `done` where this run did it, `skipped` where an earlier one did."""
    statuses = {delivery.status for delivery in deliveries.values()}
    ended_badly = statuses & {DeliveryStatus.FAILED, DeliveryStatus.UNKNOWN}
    if DeliveryStatus.SENT in statuses:
        if not tally.has(Count.SMS_SENT, Count.EMAILS_SENT):
            return Result(Outcome.SKIPPED, Reason.ALREADY_DONE, tally.counts())
        return Result(Outcome.DONE, Reason.PARTIAL if ended_badly else None, tally.counts())
    if ended_badly:
        reason = Reason.UNCONFIRMED if DeliveryStatus.UNKNOWN in statuses else Reason.UNDELIVERED
        ours = tally.has(Count.DELIVERIES_FAILED, Count.DELIVERIES_UNKNOWN)
        return Result(Outcome.DONE if ours else Outcome.SKIPPED, reason, tally.counts())
    reasons = {channel: each.reason for channel, each in deliveries.items() if each.reason is not None}
    return Result(Outcome.SKIPPED, REASONS.get(reason_for_nothing(reasons), Reason.NO_CHANNEL), tally.counts())


def decisive(troubles: Sequence[JobError]) -> JobError | None:
    """Return what decides: an attempt that counts, then a wait that ends, then what only people can mend."""

    def rank(error: JobError) -> int:
        if not isinstance(error, TemporaryError):
            return 2
        return 0 if error.wait_seconds is None else 1

    return min(troubles, key=rank, default=None)
