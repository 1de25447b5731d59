"""The ports of the digest: the store of digests, the gateways of the channels, and links."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from catchup_contract.digest_rule import DigestTime, Occurrence
    from catchup_jobs.domain.digest.channels import Channel, Destination
    from catchup_jobs.domain.digest.items import DigestItem
    from catchup_jobs.domain.stored_enums import DeliveryStatus, SkipReason
    from catchup_jobs.jobs.run.ports import Fence


@dataclass(frozen=True, slots=True)
class Recipient:
    """The user whom a digest is for.

    Attributes:
        when: the digest's time in the database; the values of a UserSchedule take precedence.
    """

    name: str = field(repr=False)
    when: DigestTime
    paused: bool

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
class Claim:
    """The right to send one message, committed before the provider is asked.

    Attributes:
        code: the delivery's short code.
        items: the suggestions to send; never empty.
    """

    user_id: str
    digest_id: int
    delivery_id: int
    attempt_id: str
    code: str
    items: tuple[DigestItem, ...]


# The provider's answer to a message ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider accepted the message, which does not mean that it was delivered.

    Attributes:
        provider_id: the provider's id of the message.
        status: in the provider's words, None where it has none.
        final: the status will not change any more.
    """

    provider_id: str | None = None
    status: str | None = None
    final: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider will never accept this message.

    Attributes:
        code: the provider's error code.
        opted_out: the recipient asked the provider to stop messages.
    """

    code: str
    opted_out: bool = False


@dataclass(frozen=True, slots=True)
class NotSent:
    """The provider did not accept the message; a later attempt may succeed.

    Attributes:
        why: for the log, without personal data.
        wait_seconds: the wait that the provider asked for, if any.
    """

    why: str
    wait_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Unusable:
    """The provider did not accept the message, because the installation is misconfigured (credentials, sender, TLS).

    Attributes:
        why: for the log, without personal data.
        code: the provider's error code, if any.
        perhaps_recipient: the provider may mean this recipient alone, and does not say so.
    """

    why: str
    code: str | None = None
    perhaps_recipient: bool = False


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """The provider may have accepted the message; `why` is for the log, without personal data."""

    why: str


Answer = Accepted | Refused | NotSent | Unusable | Ambiguous


T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Message(Generic[T_co]):
    """A message to be sent.

    Attributes:
        to: the address.
        key: stable for one user and due date, so that a second attempt can have the same id.
        content: as the channel's `Sender` composed it.
    """

    to: str = field(repr=False)
    key: str
    content: T_co = field(repr=False)


class Gateway(Protocol[T_contra]):
    """The provider of a channel. No method writes an address to a log."""

    def send(self, message: Message[T_contra]) -> Answer:
        """Send one message. Never raises for a failure of the provider or the network."""
        ...


@runtime_checkable
class LookUpGateway(Gateway[T_contra], Protocol[T_contra]):
    """A provider that lists its messages (`Channel.can_look_up`)."""

    def find(self, to: str, *, code: str, since: datetime) -> Accepted | Refused | None:
        """Return the status of the message to an address that holds a short code and was created at or after an
        instant; None if there is no such message.

        Raises:
            JobError: the provider cannot be asked now.
        """
        ...

    def fetch_status(self, provider_id: str) -> Accepted | Refused | None:
        """Return the status of a message; None if the provider does not know it any more.

        Raises:
            JobError: the provider cannot be asked now.
        """
        ...


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

    def recipient(self, user_id: str) -> Recipient | None:
        """Return a user, None for an unknown one."""
        ...

    def destinations(self, user_id: str) -> Mapping[Channel, Destination]:
        """Return a user's destination for every channel; the caller sets `configured`."""
        ...

    def deliveries(self, user_id: str, due_date: date) -> dict[Channel, Delivery]:
        """Return the deliveries of a due date's digest."""
        ...

    def unsettled(self, user_id: str, *, since: datetime, now: datetime) -> Sequence[Delivery]:
        """Return the deliveries that were attempted at or after an instant and are not settled: those whose status at
        the provider was not final, and those in status `sending` whose lease has expired.
        """
        ...

    def has_pending(self, user_id: str, *, now: datetime) -> bool:
        """Return whether a claim would have suggestions to send."""
        ...

    def skip_reason(self, user_id: str, due_date: date) -> SkipReason | None:
        """Return why a due date's digest was skipped, None if it was not."""
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

        Returns None if there is no suggestion to send, or the delivery's status does not allow it.

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
