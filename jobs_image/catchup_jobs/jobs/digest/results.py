"""How a digest's run ends: its counts, its outcome, and which of several errors it raises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from catchup_contract.outcomes import Outcome, Reason
from catchup_contract.summary import Count
from catchup_jobs.domain.digest.channels import CHANNELS, overall_skip_reason
from catchup_jobs.domain.vocabulary import DeliveryStatus, SkipReason
from catchup_jobs.jobs.run.errors import JobError, Result, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from catchup_jobs.domain.digest.channels import Channel
    from catchup_jobs.jobs.digest.ports import Delivery

REASONS: Final = {
    SkipReason.EMPTY: Reason.EMPTY,
    SkipReason.LATE: Reason.LATE,
    SkipReason.PAUSED: Reason.PAUSED,
    SkipReason.QUIET_HOURS: Reason.QUIET_HOURS,
    SkipReason.NOT_CONFIGURED: Reason.NOT_CONFIGURED,
}


class Tally:
    """The counts of a run, kept in its checkpoint, so that a pass after a failed one includes what that one sent."""

    def __init__(self, checkpoint: dict[str, Any]) -> None:
        self._checkpoint = checkpoint

    def add(self, count: Count) -> None:
        """Count one more."""
        self._checkpoint[count] = self._checkpoint.get(count, 0) + 1

    def set(self, count: Count, number: int) -> None:
        """Set a count."""
        self._checkpoint[count] = number

    def has(self, *counts: Count) -> bool:
        """Return whether any of these was counted."""
        return any(self._checkpoint.get(count) for count in counts)

    def counts(self) -> dict[Count, int]:
        """Return all counts."""
        return {count: self._checkpoint[count] for count in Count if count in self._checkpoint}


def result_of(deliveries: Mapping[Channel, Delivery], tally: Tally) -> Result:
    """Return how a run of a settled date ends: `done` if this run settled it, `skipped` if an earlier run did."""
    statuses = {delivery.status for delivery in deliveries.values()}
    ended_badly = statuses & {DeliveryStatus.FAILED, DeliveryStatus.UNKNOWN}
    if DeliveryStatus.SENT in statuses:
        if not tally.has(*(channel.sent_count for channel in CHANNELS.values())):
            return Result(Outcome.SKIPPED, Reason.ALREADY_DONE, tally.counts())
        return Result(Outcome.DONE, Reason.PARTIAL if ended_badly else None, tally.counts())
    if ended_badly:
        reason = Reason.UNCONFIRMED if DeliveryStatus.UNKNOWN in statuses else Reason.UNDELIVERED
        by_this_run = tally.has(Count.DELIVERIES_FAILED, Count.DELIVERIES_UNKNOWN)
        return Result(Outcome.DONE if by_this_run else Outcome.SKIPPED, reason, tally.counts())
    skipped = {channel: delivery.reason for channel, delivery in deliveries.items() if delivery.reason is not None}
    return Result(Outcome.SKIPPED, REASONS.get(overall_skip_reason(skipped), Reason.NO_CHANNEL), tally.counts())


def error_to_raise(errors: Sequence[JobError]) -> JobError | None:
    """Return the error that decides what the run does next, None if there is none.

    A failed attempt, which the run repeats by its retry delays, comes before a wait of known length, and that before an
    error that only people can fix.
    """

    def rank(error: JobError) -> int:
        if not isinstance(error, TemporaryError):
            return 2
        return 0 if error.wait_seconds is None else 1

    return min(errors, key=rank, default=None)
