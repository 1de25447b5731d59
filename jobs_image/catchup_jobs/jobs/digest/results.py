"""How a digest's run ends: its counts, its outcome, and which of several errors it raises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from catchup_contract.outcomes import Outcome, Reason
from catchup_contract.summary import Count
from catchup_jobs.domain.digest.channels import CHANNELS, overall_skip_reason
from catchup_jobs.domain.stored_enums import DeliveryStatus, SkipReason
from catchup_jobs.jobs.run.context import Result
from catchup_jobs.jobs.run.errors import JobError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from catchup_jobs.domain.digest.channels import Channel
    from catchup_jobs.jobs.digest.ports import Delivery
    from catchup_jobs.jobs.run.checkpoint import Counts

REASONS: Final = {
    SkipReason.EMPTY: Reason.EMPTY,
    SkipReason.LATE: Reason.LATE,
    SkipReason.PAUSED: Reason.PAUSED,
    SkipReason.QUIET_HOURS: Reason.QUIET_HOURS,
    SkipReason.NOT_CONFIGURED: Reason.NOT_CONFIGURED,
}


def result_of(deliveries: Mapping[Channel, Delivery], counts: Counts) -> Result:
    """Return how a run of a settled date ends: `done` if this run settled it, `skipped` if an earlier run did."""
    statuses = {delivery.status for delivery in deliveries.values()}
    ended_badly = statuses & {DeliveryStatus.FAILED, DeliveryStatus.UNKNOWN}
    if DeliveryStatus.SENT in statuses:
        if not counts.any(*(channel.sent_count for channel in CHANNELS.values())):
            return Result(Outcome.SKIPPED, Reason.ALREADY_DONE, counts.all())
        return Result(Outcome.DONE, Reason.PARTIAL if ended_badly else None, counts.all())
    if ended_badly:
        reason = Reason.UNCONFIRMED if DeliveryStatus.UNKNOWN in statuses else Reason.UNDELIVERED
        by_this_run = counts.any(Count.DELIVERIES_FAILED, Count.DELIVERIES_UNKNOWN)
        return Result(Outcome.DONE if by_this_run else Outcome.SKIPPED, reason, counts.all())
    skipped = {channel: delivery.reason for channel, delivery in deliveries.items() if delivery.reason is not None}
    return Result(Outcome.SKIPPED, REASONS.get(overall_skip_reason(skipped), Reason.NO_CHANNEL), counts.all())


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
