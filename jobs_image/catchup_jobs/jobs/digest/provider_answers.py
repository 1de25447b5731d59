"""The port to the provider of a channel: a message, and what the provider answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from datetime import datetime


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
