"""The ports of the digest to what is stored, and to links; `gateway.py` has the port to the providers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from catchup_contract.digest_rule import DigestTime, Occurrence
    from catchup_jobs.domain.digest.channels import Channel, Destination
    from catchup_jobs.domain.digest.items import DigestItem
    from catchup_jobs.domain.digest.selection import Selection
    from catchup_jobs.domain.stored_enums import DeliveryStatus, SkipReason
    from catchup_jobs.jobs.digest.provider_answers import Answer
    from catchup_jobs.jobs.run.ports import Fence


@dataclass(frozen=True, slots=True)
class Recipient:
    """The user whom a digest is for.

    Attributes:
        when: the digest's time in the database; the values of a UserSchedule take precedence.
        has_pending: suggestions are pending now.
        must_reconnect: the calendar must be connected again.
    """

    name: str = field(repr=False)
    when: DigestTime
    paused: bool
    has_pending: bool
    must_reconnect: bool

    def chosen(self, when: DigestTime) -> DigestTime:
        """Return the time that the user chose, given the one that the digest falls due at.

        The operator may spread digests over a window. The sync stores what the UserSchedule says.
        """
        return self.when if when.is_spread_from(self.when) else when


@dataclass(frozen=True, slots=True)
class Delivery:
    """One channel's part of one digest, as it is stored.

    Attributes:
        attempt_id: of the last claim. A settlement names it, so that it never settles another process's claim.
        lease_until: the time (UTC) until which the claiming process may be asking the provider.
        attempted_at: the time (UTC) of the last claim.
        provider_id: the provider's id of the message.
        code: the short code in the message's text.
        attempts: how often the delivery was claimed.
        final: the provider's own status will not change any more.
    """

    id: int
    channel: Channel
    status: DeliveryStatus
    reason: SkipReason | None = None
    attempt_id: str | None = None
    lease_until: datetime | None = None
    attempted_at: datetime | None = None
    provider_id: str | None = None
    code: str = ""
    attempts: int = 0
    final: bool = False


@dataclass(frozen=True, slots=True)
class StoredDigest:
    """What a due date's run finds.

    Attributes:
        deliveries: those of the due date, by the channels that this code knows.
        skip_reason: why the due date's digest was skipped, None if it was not.
        unsettled: deliveries of any due date that were attempted lately and are not settled: those whose status at the
            provider was not final, and those of earlier due dates in status `sending` whose lease has expired.
    """

    deliveries: Mapping[Channel, Delivery]
    skip_reason: SkipReason | None
    unsettled: Sequence[Delivery]


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to send one message, committed before the provider is asked.

    Attributes:
        code: the delivery's short code.
        items: the suggestions to send; empty only where `reconnect` is true.
        reconnect: the message asks the user to connect the calendar again.
    """

    user_id: str
    digest_id: int
    delivery_id: int
    attempt_id: str
    code: str
    items: tuple[DigestItem, ...]
    reconnect: bool = False


class Links(Protocol):
    """Signed URLs that expire, served by the application."""

    def of_suggestion(self, item: DigestItem, user_id: str, *, now: datetime) -> Mapping[str, str]:
        """Return a URL per action of `email_text.ACTIONS`."""
        ...

    def of_digest(self, digest_id: int, user_id: str, *, now: datetime) -> str:
        """Return the URL of a page with all suggestions of a digest."""
        ...

    def unsubscribe(self, digest_id: int, user_id: str, *, now: datetime) -> str:
        """Return the URL that stops the emails to the address that a digest is sent to."""
        ...

    def end_sms(self, digest_id: int, user_id: str, *, now: datetime) -> str:
        """Return the URL that stops the SMS to the number that a digest was sent to."""
        ...


class DigestStore(Protocol):
    """Users, digests and deliveries. Every method is one transaction and raises `JobError`.

    Methods that take a fence refuse to write for a process that lost its run.
    """

    def recipient(self, user_id: str, *, now: datetime) -> Recipient | None:
        """Return a user, None for an unknown one."""
        ...

    def find(
        self, user_id: str, due_date: date | None, *, since: datetime, now: datetime
    ) -> tuple[Recipient, StoredDigest] | None:
        """Return a user and what a due date's run finds, None for an unknown user.

        Args:
            due_date: None where nothing is due.
            since: how long ago an unsettled delivery was attempted at most.
        """
        ...

    def destinations(self, user_id: str) -> Mapping[Channel, Destination]:
        """Return a user's destination for every channel; the caller sets `configured`."""
        ...

    def deliveries(self, user_id: str, due_date: date) -> dict[Channel, Delivery]:
        """Return the deliveries of a due date's digest."""
        ...

    def selection(self, user_id: str, due_date: date, *, now: datetime) -> Selection:
        """Return what a claim would send now."""
        ...

    def skip(self, user_id: str, occurrence: Occurrence, reason: SkipReason, *, now: datetime, fence: Fence) -> None:
        """Record that a due date's digest is skipped. A later claim overrides this."""
        ...

    def skip_channel(
        self,
        user_id: str,
        occurrence: Occurrence,
        channel: Channel,
        reason: SkipReason,
        *,
        now: datetime,
        fence: Fence,
    ) -> None:
        """Record that a channel is skipped, unless a message was attempted by it."""
        ...

    def give_up(self, user_id: str, occurrence: Occurrence, channel: Channel, *, now: datetime, fence: Fence) -> None:
        """Mark a channel's pending delivery as failed."""
        ...

    def claim(
        self,
        user_id: str,
        occurrence: Occurrence,
        channel: Channel,
        *,
        attempt_id: str,
        address_key: str | None,
        now: datetime,
        lease_until: datetime,
        fence: Fence,
    ) -> Claim | None:
        """Mark a delivery as `sending` and its suggestions as delivered.

        Returns None if there is nothing to send, or the delivery's status does not allow it.

        Args:
            attempt_id: unique; the settlement names it.
            address_key: keyed hash of the address that is used; an opt-out is recorded for it.
        """
        ...

    def settle(self, delivery_id: int, attempt_id: str, answer: Answer, *, now: datetime) -> None:
        """Record the provider's answer to a claim or a look-up. It takes no fence, since the answer is a fact.

        `NotSent` and `Unusable` release the claim. They and `Refused` mark the suggestions as not delivered, unless
        another channel sent them. An opt-out is recorded for the address that was used, and outlives the user.
        """
        ...

    def mark_unknown(self, delivery_id: int, attempt_id: str, *, now: datetime) -> None:
        """Mark a delivery in status `sending` as `unknown` once its lease has expired."""
        ...
