"""From a claimed digest to a message at a provider: which gateway, which words, which links."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

from catchup_contract.digest_rule import DigestDay
from catchup_jobs.domain.digest.email_text import EmailDigest, entries_of
from catchup_jobs.domain.digest.items import MAX_NAME, clean
from catchup_jobs.domain.digest.sms_text import compose
from catchup_jobs.domain.vocabulary import Channel
from catchup_jobs.jobs.digest.ports import Letter
from catchup_jobs.jobs.run.errors import MisconfiguredError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from catchup_contract.digest_rule import DigestTime
    from catchup_jobs.domain.digest.channels import Reach
    from catchup_jobs.jobs.digest.ports import Accepted, Answer, Claim, EmailGateway, Links, Refused, SmsGateway


class Messenger:
    """Writes and sends a digest's messages; a provider's client is made when the first message needs it."""

    def __init__(
        self,
        *,
        sms: Callable[[], SmsGateway] | None,
        email: Callable[[], EmailGateway] | None,
        links: Callable[[], Links] | None = None,
    ) -> None:
        """Take the ways to make the gateways and the links; None where the installation has none."""
        self._make_sms = sms
        self._make_email = email
        self._make_links = links

    def with_configuration(self, reaches: Mapping[Channel, Reach]) -> Mapping[Channel, Reach]:
        """Return the same reaches, with what the installation is configured for."""
        made = {Channel.SMS: self._make_sms, Channel.EMAIL: self._make_email}
        return {channel: replace(reach, configured=made[channel] is not None) for channel, reach in reaches.items()}

    def prepare(self, channel: Channel) -> None:
        """Make the channel's client.

        Raises:
            JobError: it cannot be made.
        """
        _ = self._sms if channel is Channel.SMS else self._email

    def compose(
        self,
        channel: Channel,
        claim: Claim,
        reach: Reach,
        *,
        key: str,
        when: DigestTime,
        name: str,
        now: datetime,
    ) -> Callable[[], Answer]:
        """Write the message and return what sends it.

        Args:
            key: stable for the user and the due date.
            name: the user's.
        """
        to = reach.address or ""
        links = self._links
        if channel is Channel.SMS:
            link = links.of_digest(claim.digest_id, now=now) if links else None
            return partial(self._sms.send, to, compose(claim.items, when.zone, code=claim.code, link=link))
        ids = [item.suggestion_id for item in claim.items]
        actions = {each: links.of_suggestion(each, now=now) for each in ids} if links else {}
        content = EmailDigest(
            greeting=clean(name, MAX_NAME),
            entries=entries_of(claim.items, when.zone, actions),
            rhythm=rhythm_of(when),
            unsubscribe=links.unsubscribe(claim.digest_id, now=now) if links else None,
        )
        return partial(self._email.send, Letter(to, key, content))

    def find(self, reach: Reach, *, code: str, since: datetime) -> Accepted | Refused | None:
        """Look for an SMS that may have been sent; None where it is not listed, or cannot be looked for.

        Raises:
            JobError: the provider cannot be asked now.
        """
        if self._make_sms is None or reach.address is None:
            return None
        return self._sms.find(reach.address, code=code, since=since)

    def look(self, provider_id: str) -> Accepted | Refused | None:
        """Return what became of an SMS, None where that cannot be told.

        Raises:
            JobError: the provider cannot be asked now.
        """
        return None if self._make_sms is None else self._sms.look(provider_id)

    @cached_property
    def _links(self) -> Links | None:
        return None if self._make_links is None else self._make_links()

    @cached_property
    def _sms(self) -> SmsGateway:
        if self._make_sms is None:
            raise MisconfiguredError("no SMS provider is configured")
        return self._make_sms()

    @cached_property
    def _email(self) -> EmailGateway:
        if self._make_email is None:
            raise MisconfiguredError("no mail server is configured")
        return self._make_email()


def rhythm_of(when: DigestTime) -> str:
    """Return how often a digest comes, in words."""
    day = "day" if when.day is DigestDay.DAILY else when.day.value
    return f"every {day} at {when.at:%H:%M} ({when.zone.key})"
