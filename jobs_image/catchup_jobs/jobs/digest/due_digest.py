"""One due date's digest: its deliveries as they are stored, sending a message, and recording the provider's answer.

A delivery is claimed in the database before the provider is asked (status `sending`, with an attempt id and a lease),
and the provider's answer is recorded afterwards. Any process can therefore tell from the row what it may do: nothing
while the lease runs; after that it looks the message up at the provider instead of sending it a second time.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from catchup_contract.digest_rule import is_last_firing, is_quiet
from catchup_contract.summary import Count
from catchup_jobs.domain.digest.channels import may_send
from catchup_jobs.domain.stored_enums import DeliveryStatus, SkipReason
from catchup_jobs.jobs.digest.provider_answers import Accepted, Ambiguous, Answer, NotSent, Refused, Unusable
from catchup_jobs.jobs.run.checkpoint import Counts
from catchup_jobs.jobs.run.errors import JobError, MisconfiguredError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from catchup_contract.digest_rule import DigestTime, Occurrence
    from catchup_jobs.domain.digest.channels import Channel, Destination
    from catchup_jobs.jobs.digest.messenger import Messenger
    from catchup_jobs.jobs.digest.ports import Delivery, DigestStore, Recipient
    from catchup_jobs.jobs.run.context import RunContext

# Longer than any call to a provider takes, timeouts included.
LEASE: Final = timedelta(seconds=90)
"""How long a claim may stay silent before another process looks the message up."""
# The next run of a weekly digest is the last one that asks for a message's status.
FOLLOW_UP_SPAN: Final = timedelta(days=8)
"""How long after sending the status of a message is asked for."""
_LOOK_UP_DELAY_SECONDS: Final = 1.0
"""The wait before a message that may have been sent is looked up."""
# In the run's checkpoint: the id of an attempt that did not reach the provider, whatever the database says about it.
_UNSENT: Final = "unsent"
_NOT_ASKED: Final = NotSent("the provider was not asked")

_log = structlog.get_logger()


@dataclass
class DueDigest:
    """One due date's digest in one pass.

    Attributes:
        even_at_night: quiet hours do not hold.
        errors: why channels are not settled. When all channels were tried, the most promising error is raised.
    """

    context: RunContext
    store: DigestStore
    messenger: Messenger
    when: DigestTime
    occurrence: Occurrence
    recipient: Recipient
    even_at_night: bool = False
    errors: list[JobError] = field(default_factory=list)

    @property
    def user_id(self) -> str:
        """The user's id."""
        return self.context.subject

    @property
    def counts(self) -> Counts:
        """The run's counts."""
        return Counts(self.context.checkpoint)

    @property
    def is_last_firing(self) -> bool:
        """Whether no later firing serves this due date."""
        return is_last_firing(self.context.now(), self.when, self.occurrence)

    @property
    def is_quiet(self) -> bool:
        """Whether a text message would disturb now."""
        return not self.even_at_night and is_quiet(self.context.now(), self.when, self.occurrence)

    def is_given_up(self, error: JobError) -> bool:
        """Return whether nothing will try again for this due date what failed with this error."""
        if not self.is_last_firing:
            return False
        if not isinstance(error, TemporaryError):
            return True
        if error.wait_seconds is None:
            return self.context.is_last_attempt
        return not self.context.has_time_for(error.wait_seconds)

    def deliveries(self) -> Mapping[Channel, Delivery]:
        """Return the deliveries as they are stored now."""
        return self.store.deliveries(self.user_id, self.occurrence.due_date)

    def destinations(self) -> Mapping[Channel, Destination]:
        """Return where each channel reaches the user now."""
        return self.messenger.with_configuration(self.store.destinations(self.user_id))

    def send(self, channel: Channel, destination: Destination) -> DeliveryStatus:
        """Claim a delivery, send its message and record the answer; return the delivery's status."""
        context, now = self.context, self.context.now()
        try:
            # Before the claim, so that a client that cannot be made leaves no claim behind.
            self.messenger.prepare(channel)
        except JobError as error:
            self.errors.append(error)
            return DeliveryStatus.PENDING
        context.check_stop()
        # Set until the provider is asked: if the reply to the claim's commit is lost, the next pass knows that nothing
        # was sent.
        context.checkpoint[_UNSENT] = attempt_id = str(uuid.uuid4())
        claim = self.store.claim(
            self.user_id,
            self.occurrence,
            channel,
            attempt_id=attempt_id,
            address_key=destination.key,
            now=now,
            lease_until=now + LEASE,
            fence=context.fence,
        )
        if claim is None:
            return self._not_claimed(channel)
        try:
            send = self.messenger.compose(
                channel,
                claim,
                destination.address or "",
                key=f"{self.user_id} {self.occurrence.due_date.isoformat()}",
                when=self.recipient.chosen(self.when),
                name=self.recipient.name,
                now=now,
            )
        except Exception:
            # Nothing was sent. The delivery stays pending, so that it is sent once the cause is fixed.
            self.store.settle(claim.delivery_id, claim.attempt_id, _NOT_ASKED, now=context.now())
            raise
        del context.checkpoint[_UNSENT]
        answer = send()
        self.counts.set(Count.DIGEST_ITEMS, len(claim.items))
        if isinstance(answer, Accepted):
            # Counted before it is recorded, since the reply to the record's commit may be lost.
            self.counts.set(channel.sent_count, 1)
        status = self.settle(channel, claim.delivery_id, claim.attempt_id, answer)
        if status is DeliveryStatus.UNKNOWN:
            self.counts.add(Count.DELIVERIES_UNKNOWN)
        return status

    def settle(self, channel: Channel, delivery_id: int, attempt_id: str, answer: Answer) -> DeliveryStatus:
        """Record the provider's answer to a claim or a look-up; return the delivery's status."""
        if isinstance(answer, Unusable) and answer.perhaps_recipient and self.is_last_firing:
            # It may be this recipient alone: what was not sent by now is not sent for this date.
            answer = Refused(answer.code or "refused")
        if isinstance(answer, NotSent | Unusable):
            # If the record of the answer fails, the next pass knows that nothing was sent.
            self.context.checkpoint[_UNSENT] = attempt_id
        self.store.settle(delivery_id, attempt_id, answer, now=self.context.now())
        status = DeliveryStatus.PENDING
        match answer:
            case Accepted():
                status = DeliveryStatus.SENT
            case Refused():
                status = DeliveryStatus.FAILED
                self.counts.add(Count.DELIVERIES_FAILED)
            case NotSent() if answer is not _NOT_ASKED:
                self.errors.append(TemporaryError(answer.why, wait_seconds=answer.wait_seconds))
            case Unusable():
                self.errors.append(MisconfiguredError(answer.why))
            case Ambiguous():
                status = DeliveryStatus.UNKNOWN
                # To send again is an attempt of the run's retry budget; to look up is not.
                wait = _LOOK_UP_DELAY_SECONDS if channel.can_look_up else None
                self.errors.append(TemporaryError(f"{answer.why}: it may have been sent", wait_seconds=wait))
        code, why = getattr(answer, "code", None), getattr(answer, "why", None)
        _log.info("delivery", channel=channel.name, status=status.value, code=code, why=why)
        return status

    def is_unsent(self, delivery: Delivery) -> bool:
        """Return whether the run knows that a claimed delivery did not reach the provider."""
        attempt_id = self.context.checkpoint.get(_UNSENT)
        return attempt_id is not None and attempt_id == delivery.attempt_id

    def release(self, delivery: Delivery) -> None:
        """Release the claim of a delivery for which `is_unsent` is true."""
        self.settle(delivery.channel, delivery.id, delivery.attempt_id or "", _NOT_ASKED)
        self.context.checkpoint.pop(_UNSENT, None)

    def give_up(self, channel: Channel) -> None:
        """Record that a channel sends nothing for this due date any more, because another stands in."""
        context = self.context
        self.store.give_up(self.user_id, self.occurrence, channel, now=context.now(), fence=context.fence)
        self.counts.add(Count.DELIVERIES_FAILED)

    def skip_channel(self, channel: Channel, delivery: Delivery | None, reason: SkipReason) -> DeliveryStatus:
        """Record that a channel is skipped; return its delivery's status."""
        if delivery is None or (delivery.status, delivery.reason) != (DeliveryStatus.SKIPPED, reason):
            # Also during a termination: the run is done then, and no other pod is needed to record it.
            self.store.skip_channel(
                self.user_id, self.occurrence, channel, reason, now=self.context.now(), fence=self.context.fence
            )
        return DeliveryStatus.SKIPPED

    def _not_claimed(self, channel: Channel) -> DeliveryStatus:
        # What it would say was answered or settled meanwhile, or another process claimed it.
        delivery = self.deliveries().get(channel)
        if delivery is not None and delivery.status is DeliveryStatus.SENDING:
            self.errors.append(TemporaryError("another process is sending", wait_seconds=LEASE.total_seconds()))
        if delivery is None or may_send(channel, delivery.status):
            return self.skip_channel(channel, delivery, SkipReason.EMPTY)
        return delivery.status
