"""From a claimed digest to a message at a provider: one `Sender` per channel composes and sends it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from catchup_jobs.domain.digest.content import DigestContent, DigestLinks, Reconnect
from catchup_jobs.jobs.digest.provider_answers import LookUpGateway, Message
from catchup_jobs.jobs.run.errors import MisconfiguredError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from catchup_contract.digest_rule import DigestTime
    from catchup_jobs.domain.digest.channels import Channel, Destination
    from catchup_jobs.jobs.digest.ports import Claim, Links
    from catchup_jobs.jobs.digest.provider_answers import Accepted, Answer, Gateway, Refused

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sender(Generic[T]):
    """How a channel's messages are made.

    Attributes:
        compose: returns the content as the gateway takes it.
        preview: returns that content as text, for `catchup-jobs digest --preview`.
        gateway: makes the provider's client, called once and only where a message needs it; None: the installation has
            no provider.
    """

    compose: Callable[[DigestContent], T]
    preview: Callable[[T], str]
    gateway: Callable[[], Gateway[T]] | None


class Messenger:
    """Composes and sends the messages of digests.

    Every channel in `channels.CHANNELS` must have a sender: a method that meets one without raises KeyError.
    """

    def __init__(
        self,
        senders: Mapping[Channel, Sender[Any]],
        *,
        links: Callable[[], Links] | None = None,
        connect_url: str | None = None,
    ) -> None:
        """Take the senders.

        Args:
            links: makes the links; None where the installation has no action base URL.
            connect_url: where users connect their calendar, None where the installation does not say.
        """
        self._senders = senders
        self._make_links = links
        self._connect_url = connect_url
        self._gateways: dict[Channel, Gateway[Any]] = {}

    def with_configuration(self, destinations: Mapping[Channel, Destination]) -> Mapping[Channel, Destination]:
        """Return the same destinations, with `configured` set as the installation is."""
        return {
            channel: replace(destination, configured=self._senders[channel].gateway is not None)
            for channel, destination in destinations.items()
        }

    def prepare(self, channel: Channel) -> None:
        """Make the channel's client.

        Raises:
            JobError: it cannot be made.
        """
        self._gateway(channel)

    def compose(
        self, channel: Channel, claim: Claim, to: str, *, key: str, when: DigestTime, name: str, now: datetime
    ) -> Callable[[], Answer]:
        """Compose the message and return the function that sends it.

        Args:
            to: the address.
            key: stable for the user and the due date.
            name: the user's.
        """
        content = DigestContent(
            name, claim.items, when, claim.code, self._links_of(claim, now), self.request(reconnect=claim.reconnect)
        )
        message = Message(to, key, self._senders[channel].compose(content))
        return partial(self._gateway(channel).send, message)

    def request(self, *, reconnect: bool) -> Reconnect | None:
        """Return the request to connect again, None where none is needed."""
        return Reconnect(self._connect_url) if reconnect else None

    def preview(self, channel: Channel, content: DigestContent) -> str:
        """Return the message as text."""
        sender = self._senders[channel]
        return sender.preview(sender.compose(content))

    def find(
        self, channel: Channel, destination: Destination, *, code: str, since: datetime
    ) -> Accepted | Refused | None:
        """Look up a message that may have been sent; None where the provider does not list it, or cannot be asked.

        Raises:
            JobError: the provider cannot be asked now.
        """
        if self._senders[channel].gateway is None or destination.address is None:
            return None
        return self._look_up_gateway(channel).find(destination.address, code=code, since=since)

    def fetch_status(self, channel: Channel, provider_id: str) -> Accepted | Refused | None:
        """Return the present status of a message, None where it is not known any more.

        Raises:
            JobError: the provider cannot be asked now.
        """
        if self._senders[channel].gateway is None:
            return None
        return self._look_up_gateway(channel).fetch_status(provider_id)

    def _gateway(self, channel: Channel) -> Gateway[Any]:
        if channel not in self._gateways:
            make = self._senders[channel].gateway
            if make is None:
                raise MisconfiguredError(f"no provider is configured for {channel}")
            self._gateways[channel] = make()
        return self._gateways[channel]

    def _look_up_gateway(self, channel: Channel) -> LookUpGateway[Any]:
        gateway = self._gateway(channel)
        if not isinstance(gateway, LookUpGateway):
            raise TypeError(f"the gateway of {channel} cannot look up messages")
        return gateway

    def _links_of(self, claim: Claim, now: datetime) -> DigestLinks | None:
        links = self._links
        if links is None:
            return None
        return DigestLinks(
            overview=links.of_digest(claim.digest_id, claim.user_id, now=now),
            actions={item.suggestion_id: links.of_suggestion(item, claim.user_id, now=now) for item in claim.items},
            unsubscribe=links.unsubscribe(claim.digest_id, claim.user_id, now=now),
        )

    @cached_property
    def _links(self) -> Links | None:
        return None if self._make_links is None else self._make_links()
