"""What the digest needs of the world: the store of digests, an SMS and an email provider, links to act by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from catchup_contract.digest_rule import DigestTime, Occurrence
    from catchup_jobs.domain.digest.channels import Reach
    from catchup_jobs.domain.digest.email_text import EmailDigest
    from catchup_jobs.domain.digest.items import DigestItem
    from catchup_jobs.domain.vocabulary import Channel, DeliveryStatus, SkipReason
    from catchup_jobs.jobs.run.ports import Fence


@dataclass(frozen=True, slots=True)
class Recipient:
    """A user as the digest knows them.

    Attributes:
        when: the digest's time by the user's row; a UserSchedule's own values come before it.
    """

    name: str = field(repr=False)
    when: DigestTime
    paused: bool


@dataclass(frozen=True, slots=True)
class Delivery:
    """One channel's attempt at one digest, as it is stored.

    Attributes:
        attempt_id: of the claim that it was last tried under; a settlement names it, so that it is never another's.
        lease_until: until when its process may still be asking the provider.
        attempted_at: when it was last claimed.
        provider_id: the provider's name for the message.
        attempts: how often it was claimed.
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
        code: the delivery's short code, in the SMS's text.
        items: what to propose; never empty.
    """

    digest_id: int
    delivery_id: int
    attempt_id: str
    code: str
    items: tuple[DigestItem, ...]


# What a provider said to a message ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accepted:
    """It took the message; not yet a delivery.

    Attributes:
        status: in its own words, None where it has none.
        final: whether that will not change any more.
    """

    provider_id: str | None = None
    status: str | None = None
    final: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """It will never take this message.

    Attributes:
        code: why, in its own code.
        opted_out: the recipient told it to stop.
    """

    code: str
    opted_out: bool = False


@dataclass(frozen=True, slots=True)
class NotSent:
    """It certainly did not take the message; worth trying again.

    Attributes:
        why: for the log: no person, no address.
        wait_seconds: the wait that it asked for.
    """

    why: str
    wait_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Unusable:
    """It certainly did not take the message, since the installation is wrong: credentials, sender, encryption."""

    why: str
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """It may have taken the message."""

    why: str


Answer = Accepted | Refused | NotSent | Unusable | Ambiguous


class SmsGateway(Protocol):
    """The SMS provider. Numbers are in E.164; no method lets one reach a log."""

    def send(self, to: str, text: str) -> Answer:
        """Hand over one message. Never raises for what the provider or the network does."""
        ...

    def find(self, to: str, *, code: str, since: datetime) -> Accepted | Refused | None:
        """Look for a message to a number that holds a short code, made at or after an instant; None: there is none.

        Raises:
            JobError: the provider cannot be asked now.
        """
        ...

    def look(self, provider_id: str) -> Accepted | Refused | None:
        """Return what became of a message; None: the provider does not know it any more.

        Raises:
            JobError: the provider cannot be asked now.
        """
        ...


@dataclass(frozen=True, slots=True)
class Letter:
    """An email to be sent.

    Attributes:
        key: stable for one user and due date; becomes the Message-ID.
    """

    to: str = field(repr=False)
    key: str
    content: EmailDigest


class EmailGateway(Protocol):
    """The mail server."""

    def send(self, letter: Letter) -> Answer:
        """Hand over one message. Never raises for what the server or the network does."""
        ...


class Links(Protocol):
    """Signed, expiring addresses, served by the application."""

    def of_suggestion(self, suggestion_id: int, *, now: datetime) -> Mapping[str, str]:
        """Return an address per action of `digest_email.ACTIONS`."""
        ...

    def of_digest(self, digest_id: int, *, now: datetime) -> str:
        """Return the address of a page with all suggestions of a digest."""
        ...

    def unsubscribe(self, digest_id: int, *, now: datetime) -> str:
        """Return the address that stops the emails to the digest's user."""
        ...


class DigestStore(Protocol):
    """Users, digests and deliveries. Every method is one transaction and raises `JobError`.

    Methods that take a fence refuse to write for a process that lost its run.
    """

    def recipient(self, user_id: str) -> Recipient | None:
        """Return a user, None for an unknown one."""
        ...

    def reach(self, user_id: str) -> Mapping[Channel, Reach]:
        """Return how each channel reaches the user; `configured` is the caller's to say."""
        ...

    def deliveries(self, user_id: str, due_date: date) -> dict[Channel, Delivery]:
        """Return the deliveries of a due date's digest."""
        ...

    def undecided(self, user_id: str, *, since: datetime, now: datetime) -> Sequence[Delivery]:
        """Return what was begun since an instant and is not over: SMS whose end the provider had not told yet, and
        messages of any channel whose process died while the provider was asked (`sending`, the lease over).
        """
        ...

    def has_pending(self, user_id: str, *, now: datetime) -> bool:
        """Return whether a claim would find anything to propose."""
        ...

    def skip(self, user_id: str, occurrence: Occurrence, reason: SkipReason, *, now: datetime, fence: Fence) -> None:
        """Record that a due date's digest is not sent. A later claim overrides it."""
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
        """Record that one channel does not carry it, unless that channel was used already."""
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
        """Mark a delivery `sending` and its suggestions as delivered; None: nothing to propose, or not ours to send.

        Args:
            attempt_id: unique; the settlement names it.
            address_key: of the address that is about to be used; an opt-out belongs to it.
        """
        ...

    def settle(self, delivery_id: int, attempt_id: str, answer: Answer, *, now: datetime) -> None:
        """Record what the provider said to a claim or a look-up; takes no fence, since it states a fact.

        `NotSent` and `Unusable` give the claim back; they and `Refused` take the mark off the suggestions, unless
        another channel carried them. An opt-out is recorded for the address that was used, and outlives the user.
        """
        ...

    def give_up(self, delivery_id: int, attempt_id: str, *, now: datetime) -> None:
        """Mark a delivery `unknown` whose process died while the provider was asked."""
        ...
