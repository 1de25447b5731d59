"""The digest of one user: at most one message per channel and due date, however often it is asked for.

The deliveries of a due date settle it, not a run: a later firing of the same date finds it settled, or tries again
what was not sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from catchup_contract.digest_rule import occurrence_by_hand, occurrence_of_slot
from catchup_contract.outcomes import Outcome, Reason
from catchup_jobs.domain.digest.channels import ATTEMPTED, CHANNELS, MAYBE_SENT, is_wanted, may_send, skip_reason
from catchup_jobs.domain.stored_enums import ChannelMode, DeliveryStatus, SkipReason
from catchup_jobs.jobs.digest.due_digest import FOLLOW_UP_SPAN, DueDigest
from catchup_jobs.jobs.digest.results import REASONS, error_to_raise, result_of
from catchup_jobs.jobs.digest.unsettled import settle_earlier_attempts
from catchup_jobs.jobs.run.context import Result
from catchup_jobs.jobs.run.errors import unknown_user

if TYPE_CHECKING:
    from collections.abc import Mapping

    from catchup_contract.digest_rule import DigestTime
    from catchup_jobs.domain.digest.channels import Channel, Destination
    from catchup_jobs.jobs.digest.messenger import Messenger
    from catchup_jobs.jobs.digest.ports import Delivery, DigestStore, StoredDigest
    from catchup_jobs.jobs.run.context import RunContext

T = TypeVar("T")


class Digest:
    """The job's body, see `jobs.run.context.JobBody`."""

    def __init__(
        self,
        *,
        store: DigestStore,
        messenger: Messenger,
        when: DigestTime | None = None,
        even_at_night: bool = False,
    ) -> None:
        """Take the ports.

        Args:
            even_at_night: send also in quiet hours.
            when: the digest time of the UserSchedule; None outside of the operator's pods, where the database has it.
        """
        self._store = store
        self._messenger = messenger
        self._when = when
        self._even_at_night = even_at_night

    def __call__(self, context: RunContext) -> Result:
        """Make one pass.

        Raises:
            JobError: see `jobs.run.execution`. All channels are tried before an error of one is raised.
        """
        now = context.now()
        when = self._when or _known(self._store.recipient(context.subject, now=now)).when
        occurrence = occurrence_by_hand(now, when) if context.slot is None else occurrence_of_slot(context.slot, when)
        due_date = None if occurrence is None else occurrence.due_date
        recipient, stored = _known(self._store.find(context.subject, due_date, since=now - FOLLOW_UP_SPAN, now=now))
        if occurrence is None:
            return Result(Outcome.SKIPPED, Reason.NOT_DUE)
        return _perform(
            DueDigest(
                context,
                self._store,
                self._messenger,
                when,
                occurrence,
                recipient,
                even_at_night=self._even_at_night,
            ),
            stored,
        )


def _known(found: T | None) -> T:
    if found is None:
        raise unknown_user()
    return found


def _perform(digest: DueDigest, stored: StoredDigest) -> Result:
    settle_earlier_attempts(digest, stored)
    deliveries = digest.deliveries() if stored.deliveries else stored.deliveries
    if not any(delivery.status in ATTEMPTED for delivery in deliveries.values()):
        if digest.occurrence.is_late(digest.context.now()):
            return _end_late(digest, deliveries, stored.skip_reason)
        reason = _reason_to_skip(digest)
        if reason is not None:
            return _skip(digest, reason, stored.skip_reason)
    destinations = digest.destinations()
    statuses: dict[Channel, DeliveryStatus | None] = {}
    given_up: set[Channel] = set()
    for channel in CHANNELS.values():
        replaced = None if channel.fallback_for is None else statuses[channel.fallback_for]
        stands_in_for = channel.fallback_for if channel.fallback_for in given_up else None
        errors = len(digest.errors)
        statuses[channel] = _serve(
            digest, channel, destinations[channel], deliveries.get(channel), replaced, stands_in_for=stands_in_for
        )
        if statuses[channel] is DeliveryStatus.PENDING and any(map(digest.is_given_up, digest.errors[errors:])):
            given_up.add(channel)
    _raise_error(digest)
    return result_of(digest.deliveries(), digest.counts)


def _reason_to_skip(digest: DueDigest) -> SkipReason | None:
    if digest.recipient.paused:
        return SkipReason.PAUSED
    if digest.recipient.has_pending:
        # A first message holds them. What is answered meanwhile the claim finds.
        return None
    if not digest.recipient.must_reconnect:
        return SkipReason.EMPTY
    selected = digest.store.selection(digest.user_id, digest.occurrence.due_date, now=digest.context.now())
    return None if selected else SkipReason.EMPTY


def _end_late(digest: DueDigest, deliveries: Mapping[Channel, Delivery], earlier: SkipReason | None) -> Result:
    # In a zone with two offsets a firing comes four hours after the due time. It is no news about a date that an
    # earlier one skipped.
    if not deliveries:
        return _skip(digest, earlier or SkipReason.LATE, earlier)
    if all(delivery.status is DeliveryStatus.SKIPPED for delivery in deliveries.values()):
        _raise_error(digest)
        return result_of(deliveries, digest.counts)
    return _skip(digest, SkipReason.LATE, earlier)


def _skip(digest: DueDigest, reason: SkipReason, earlier: SkipReason | None) -> Result:
    _raise_error(digest)
    context = digest.context
    context.check_stop()
    if reason is not earlier:
        digest.store.skip(digest.user_id, digest.occurrence, reason, now=context.now(), fence=context.fence)
    return Result(Outcome.SKIPPED, REASONS[reason])


def _serve(
    digest: DueDigest,
    channel: Channel,
    destination: Destination,
    delivery: Delivery | None,
    replaced: DeliveryStatus | None,
    *,
    stands_in_for: Channel | None,
) -> DeliveryStatus | None:
    """Send or skip a channel's delivery if that is possible now; return its status, None if there is no delivery.

    Args:
        replaced: see `channels.is_wanted`.
        stands_in_for: the channel that this one replaces, where that could not send and will not try again.
    """
    status = delivery.status if delivery else None
    if stands_in_for is not None:
        replaced = DeliveryStatus.FAILED
    if skip_reason(channel, destination) is None and not is_wanted(destination.mode, replaced):
        if replaced in MAYBE_SENT:
            return digest.skip_channel(channel, delivery, SkipReason.NOT_NEEDED)
        return status
    if delivery is not None and not may_send(channel, status, attempts=delivery.attempts):
        return status
    now = digest.context.now()
    reason = skip_reason(channel, destination, quiet=digest.is_quiet)
    if reason is None and digest.recipient.paused:
        reason = SkipReason.PAUSED
    if reason is None and digest.occurrence.is_late(now):
        reason = SkipReason.LATE
    if reason is not None:
        return digest.skip_channel(channel, delivery, reason)
    if stands_in_for is not None and destination.mode is ChannelMode.FALLBACK:
        # First: whatever becomes of this message, that channel must not send a second one.
        digest.give_up(stands_in_for)
    return digest.send(channel, destination)


def _raise_error(digest: DueDigest) -> None:
    error = error_to_raise(digest.errors)
    if error is not None:
        raise error
