"""The digest of one user: one message per channel and due date, whatever dies or is asked twice on the way.

A message is claimed in the database before the provider is asked (`sending`, with an attempt id and a lease), and what
the provider said is recorded after. So any process can tell from the row alone what may still be done: nothing while
the lease runs, and after it a look at the provider instead of a second SMS. A due date is settled by its deliveries,
not by a run: the later firings of the same date find it settled, or give it its second chance.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from catchup_contract.digest_rule import is_quiet, occurrence_by_hand, occurrence_of_slot
from catchup_contract.outcomes import Outcome, Reason
from catchup_contract.summary import Count
from catchup_jobs.domain.digest.channels import TAKEN, email_wanted, may_send, obstacle
from catchup_jobs.domain.vocabulary import Channel, DeliveryStatus, SkipReason
from catchup_jobs.jobs.digest.messenger import Messenger
from catchup_jobs.jobs.digest.ports import Accepted, Ambiguous, Answer, NotSent, Refused, Unusable
from catchup_jobs.jobs.digest.results import REASONS, Tally, decisive, result_of
from catchup_jobs.jobs.run.context import Result
from catchup_jobs.jobs.run.errors import JobError, MisconfiguredError, PermanentError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from catchup_contract.digest_rule import DigestTime, Occurrence
    from catchup_jobs.domain.digest.channels import Reach
    from catchup_jobs.jobs.digest.ports import Delivery, DigestStore, Recipient
    from catchup_jobs.jobs.run.context import RunContext

# Longer than any call of a provider takes, timeouts included.
LEASE: Final = timedelta(seconds=90)
# A message that the provider does not list by then will not appear.
LOOK_UP_SPAN: Final = timedelta(minutes=2)
_LOOK_UP_PAUSE_SECONDS: Final = 20.0
# A weekly digest's next run is the last to ask what became of it.
FOLLOW_UP_SPAN: Final = timedelta(days=8)

# Something was, or may have been, said to the user or by the provider: the date is not a fresh one any more.
_TOUCHED: Final = TAKEN | {DeliveryStatus.FAILED}
_SENT_COUNTS: Final = {Channel.SMS: Count.SMS_SENT, Channel.EMAIL: Count.EMAILS_SENT}

# In the run's checkpoint: an attempt that never came to the provider, whatever the database says of it.
_UNSENT: Final = "unsent"
_GIVEN_BACK: Final = NotSent("the provider was not asked")

_log = structlog.get_logger()


class Digest:
    """The job's body, see `jobs.run.context.JobBody`."""

    def __init__(self, *, store: DigestStore, messenger: Messenger, when: DigestTime | None = None) -> None:
        """Take what the job works with.

        Args:
            when: the UserSchedule's digest time, None outside of the operator's pods: the user's row has it.
        """
        self._store = store
        self._messenger = messenger
        self._when = when

    def __call__(self, context: RunContext) -> Result:
        """Make one pass.

        Raises:
            JobError: see `jobs.run.execution`. With several channels, all are tried before one's error is raised.
        """
        recipient = self._store.recipient(context.subject)
        if recipient is None:
            raise PermanentError(
                "there is no such user: import it with `catchup-jobs user import`", reason=Reason.UNKNOWN_USER
            )
        when = self._when or recipient.when
        now = context.now()
        occurrence = occurrence_by_hand(now, when) if context.slot is None else occurrence_of_slot(context.slot, when)
        if occurrence is None:
            return Result(Outcome.SKIPPED, Reason.NOT_DUE)
        return _Pass(context, self._store, self._messenger, when, occurrence, recipient).perform()


@dataclass
class _Pass:
    """One pass over one due date.

    Attributes:
        troubles: what keeps a channel from being settled; the most promising is raised when all were tried.
    """

    context: RunContext
    store: DigestStore
    messenger: Messenger
    when: DigestTime
    occurrence: Occurrence
    recipient: Recipient
    troubles: list[JobError] = field(default_factory=list)

    @property
    def tally(self) -> Tally:
        return Tally(self.context.checkpoint)

    def perform(self) -> Result:
        self._look_again()
        deliveries = self._deliveries()
        if not any(each.status in _TOUCHED for each in deliveries.values()):
            reason = self._reason_to_wait()
            if reason is not None:
                return self._skip(reason)
        reaches = self._reaches()
        sms = self._serve(Channel.SMS, reaches[Channel.SMS], deliveries.get(Channel.SMS))
        self._serve_email(reaches[Channel.EMAIL], deliveries.get(Channel.EMAIL), sms)
        self._raise_trouble()
        return result_of(self._deliveries(), self.tally)

    # What earlier passes and runs left --------------------------------------------------------------------------

    def _look_again(self) -> None:
        now = self.context.now()
        for delivery in self._deliveries().values():
            if delivery.status is DeliveryStatus.SENDING and delivery.attempt_id == self._unsent():
                self._settle(delivery.id, delivery.attempt_id or "", delivery.channel, _GIVEN_BACK)
                self.context.checkpoint.pop(_UNSENT, None)
                continue
            if delivery.status is DeliveryStatus.SENDING:
                left = (delivery.lease_until - now).total_seconds() if delivery.lease_until else 0.0
                if left >= 0:
                    self.troubles.append(TemporaryError("another process is sending", wait_seconds=left + 1))
                    continue
                self.store.give_up(delivery.id, delivery.attempt_id or "", now=now)
                self.tally.add(Count.DELIVERIES_UNKNOWN)
            elif delivery.status is not DeliveryStatus.UNKNOWN:
                continue
            if delivery.channel is Channel.SMS:
                self._find(delivery)
        for delivery in self.store.undecided(self.context.subject, since=now - FOLLOW_UP_SPAN, now=now):
            self._follow_up(delivery)

    def _find(self, delivery: Delivery) -> None:
        # Whatever became of it: it is adopted, never sent again.
        attempted_at = delivery.attempted_at or self.context.now()
        try:
            found = self.messenger.find(self._reaches()[Channel.SMS], code=delivery.code, since=attempted_at)
        except JobError as error:
            self.troubles.append(error)
            return
        if found is not None:
            if self._settle(delivery.id, delivery.attempt_id or "", Channel.SMS, found) is DeliveryStatus.SENT:
                self.tally.set(Count.SMS_SENT, 1)
            return
        left = (attempted_at + LOOK_UP_SPAN - self.context.now()).total_seconds()
        if left > 0:
            wait = min(left, _LOOK_UP_PAUSE_SECONDS)
            self.troubles.append(TemporaryError("the provider does not list the message yet", wait_seconds=wait))

    def _follow_up(self, delivery: Delivery) -> None:
        if delivery.status is DeliveryStatus.SENDING:
            # Of an earlier date, whose pods all died: no firing of it comes any more.
            self.store.give_up(delivery.id, delivery.attempt_id or "", now=self.context.now())
        try:
            found = self._asked_again(delivery)
        except JobError as error:
            # Only a report: the next run asks again, and what is due today must not wait for it.
            _log.warning("cannot ask what became of a message", error_class=type(error).__name__, why=str(error))
            return
        if found is not None:
            self._settle(delivery.id, delivery.attempt_id or "", Channel.SMS, found)

    def _asked_again(self, delivery: Delivery) -> Accepted | Refused | None:
        if delivery.status is not DeliveryStatus.SENDING:
            return self.messenger.look(delivery.provider_id or "")
        if delivery.channel is not Channel.SMS:
            return None
        since = delivery.attempted_at or self.context.now()
        return self.messenger.find(self._reaches()[Channel.SMS], code=delivery.code, since=since)

    # What is to be done -----------------------------------------------------------------------------------------

    def _reason_to_wait(self) -> SkipReason | None:
        now = self.context.now()
        if self.occurrence.is_late(now):
            return SkipReason.LATE
        if self.recipient.paused:
            return SkipReason.PAUSED
        return None if self.store.has_pending(self.context.subject, now=now) else SkipReason.EMPTY

    def _serve(self, channel: Channel, reach: Reach, delivery: Delivery | None) -> DeliveryStatus | None:
        """Bring a channel as far as it goes now; return where its delivery stands."""
        status = delivery.status if delivery else None
        if delivery is not None and not may_send(channel, status, attempts=delivery.attempts):
            return status
        now = self.context.now()
        reason = obstacle(channel, reach, quiet=is_quiet(now, self.when, self.occurrence))
        if reason is None and (self.recipient.paused or self.occurrence.is_late(now)):
            reason = SkipReason.PAUSED if self.recipient.paused else SkipReason.LATE
        if reason is not None:
            return self._skip_channel(channel, delivery, reason)
        return self._send(channel, reach)

    def _serve_email(self, reach: Reach, delivery: Delivery | None, sms: DeliveryStatus | None) -> None:
        if obstacle(Channel.EMAIL, reach) is None and not email_wanted(reach.mode, sms):
            if sms in TAKEN:
                self._skip_channel(Channel.EMAIL, delivery, SkipReason.NOT_NEEDED)
            return
        self._serve(Channel.EMAIL, reach, delivery)

    def _send(self, channel: Channel, reach: Reach) -> DeliveryStatus | None:
        context, now = self.context, self.context.now()
        try:
            # Before the claim: a client that cannot be made leaves none behind.
            self.messenger.prepare(channel)
        except JobError as error:
            self.troubles.append(error)
            return DeliveryStatus.PENDING
        context.check_stop()
        # Until the provider is asked: a claim whose commit's reply was lost is known not to have been sent.
        context.checkpoint[_UNSENT] = attempt_id = str(uuid.uuid4())
        claim = self.store.claim(
            context.subject,
            self.occurrence,
            channel,
            attempt_id=attempt_id,
            address_key=reach.key,
            now=now,
            lease_until=now + LEASE,
            fence=context.fence,
        )
        if claim is None:
            return self._not_claimed(channel)
        try:
            send = self.messenger.compose(
                channel, claim, reach, key=self._message_key(), when=self.when, name=self.recipient.name, now=now
            )
        except Exception:
            # Nothing was sent, and whoever mends the cause shall find it so.
            self.store.settle(claim.delivery_id, claim.attempt_id, _GIVEN_BACK, now=context.now())
            raise
        del context.checkpoint[_UNSENT]
        answer = send()
        self.tally.set(Count.DIGEST_ITEMS, len(claim.items))
        if isinstance(answer, Accepted):
            # Before it is recorded, since the reply to that may be lost.
            self.tally.set(_SENT_COUNTS[channel], 1)
        status = self._settle(claim.delivery_id, claim.attempt_id, channel, answer)
        if status is DeliveryStatus.UNKNOWN:
            self.tally.add(Count.DELIVERIES_UNKNOWN)
        return status

    def _unsent(self) -> str | None:
        attempt_id: str | None = self.context.checkpoint.get(_UNSENT)
        return attempt_id

    def _message_key(self) -> str:
        return f"{self.context.subject} {self.occurrence.due_date.isoformat()}"

    def _not_claimed(self, channel: Channel) -> DeliveryStatus | None:
        # Its suggestions were answered meanwhile, or another process was faster.
        delivery = self._deliveries().get(channel)
        if delivery is not None and delivery.status is DeliveryStatus.SENDING:
            self.troubles.append(TemporaryError("another process is sending", wait_seconds=LEASE.total_seconds()))
        if delivery is None or may_send(channel, delivery.status):
            return self._skip_channel(channel, delivery, SkipReason.EMPTY)
        return delivery.status

    def _settle(self, delivery_id: int, attempt_id: str, channel: Channel, answer: Answer) -> DeliveryStatus:
        if isinstance(answer, NotSent | Unusable):
            # Should the record of it fail, the next pass still knows.
            self.context.checkpoint[_UNSENT] = attempt_id
        self.store.settle(delivery_id, attempt_id, answer, now=self.context.now())
        status = DeliveryStatus.PENDING
        match answer:
            case Accepted():
                status = DeliveryStatus.SENT
            case Refused():
                status = DeliveryStatus.FAILED
                self.tally.add(Count.DELIVERIES_FAILED)
            case NotSent() if answer is not _GIVEN_BACK:
                self.troubles.append(TemporaryError(answer.why, wait_seconds=answer.wait_seconds))
            case Unusable():
                self.troubles.append(MisconfiguredError(answer.why))
            case Ambiguous():
                status = DeliveryStatus.UNKNOWN
                self.troubles.append(self._after_ambiguous(channel, answer.why))
        code, why = getattr(answer, "code", None), getattr(answer, "why", None)
        _log.info("delivery", channel=channel.value, status=status.value, code=code, why=why)
        return status

    @staticmethod
    def _after_ambiguous(channel: Channel, why: str) -> TemporaryError:
        # An SMS is looked up after a moment; an email is simply sent again, as an attempt of the budget.
        wait = 1.0 if channel is Channel.SMS else None
        return TemporaryError(f"{why}: it may have been sent", wait_seconds=wait)

    # What came of it --------------------------------------------------------------------------------------------

    def _raise_trouble(self) -> None:
        trouble = decisive(self.troubles)
        if trouble is not None:
            raise trouble

    def _skip(self, reason: SkipReason) -> Result:
        self._raise_trouble()
        self.context.check_stop()
        self.store.skip(self.context.subject, self.occurrence, reason, now=self.context.now(), fence=self.context.fence)
        return Result(Outcome.SKIPPED, REASONS[reason])

    def _skip_channel(self, channel: Channel, delivery: Delivery | None, reason: SkipReason) -> DeliveryStatus:
        if delivery is None or (delivery.status, delivery.reason) != (DeliveryStatus.SKIPPED, reason):
            # Also at a termination: the run is then done, and no other pod has to come to say so.
            self.store.skip_channel(
                self.context.subject,
                self.occurrence,
                channel,
                reason,
                now=self.context.now(),
                fence=self.context.fence,
            )
        return DeliveryStatus.SKIPPED

    def _deliveries(self) -> Mapping[Channel, Delivery]:
        return self.store.deliveries(self.context.subject, self.occurrence.due_date)

    def _reaches(self) -> Mapping[Channel, Reach]:
        return self.messenger.with_configuration(self.store.reach(self.context.subject))
