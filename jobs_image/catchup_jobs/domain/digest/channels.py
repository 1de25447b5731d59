"""Which channels carry a digest: preferences, consent, and when email stands in for SMS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from catchup_jobs.domain.vocabulary import Channel, ChannelMode, DeliveryStatus, SkipReason

MOST_UNSURE_EMAILS: Final = 4
# The provider has, or may have, the message: SMS is never tried again after one of these.
TAKEN: Final = frozenset({DeliveryStatus.SENDING, DeliveryStatus.SENT, DeliveryStatus.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Reach:
    """How a user can be reached by one channel.

    Attributes:
        address: the E.164 number or the email address, None where there is none.
        key: keyed hash of the address, by which consent and opt-out are kept.
        consented: the user agreed to be written to; only SMS asks for it.
        opted_out: the owner of the address replied STOP or unsubscribed. It belongs to the address, not to the user.
        configured: the installation has a provider for the channel.
    """

    address: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)
    mode: ChannelMode = ChannelMode.OFF
    consented: bool = False
    opted_out: bool = False
    configured: bool = True


def obstacle(channel: Channel, reach: Reach, *, quiet: bool = False) -> SkipReason | None:
    """Return why a channel cannot be used for a user now, None where it can.

    Args:
        quiet: SMS would disturb (see `due_dates.is_quiet`).
    """
    sms = channel is Channel.SMS
    obstacles = (
        (reach.address is None, SkipReason.NO_ADDRESS),
        (reach.mode is ChannelMode.OFF, SkipReason.OFF),
        (reach.opted_out, SkipReason.OPTED_OUT),
        (sms and not reach.consented, SkipReason.NO_CONSENT),
        (not reach.configured, SkipReason.NOT_CONFIGURED),
        (sms and quiet, SkipReason.QUIET_HOURS),
    )
    return next((reason for there, reason in obstacles if there), None)


def email_wanted(mode: ChannelMode, sms: DeliveryStatus | None) -> bool:
    """Return whether the digest goes out by email, given what became of its SMS.

    As a fallback only where no SMS will come: it failed for good, or was skipped. Not while it may still be sent, and
    not where it may have been (`unknown`).
    """
    if mode is ChannelMode.FALLBACK:
        return sms in {DeliveryStatus.FAILED, DeliveryStatus.SKIPPED}
    return mode is ChannelMode.ON


def may_send(channel: Channel, status: DeliveryStatus | None, *, attempts: int = 0) -> bool:
    """Return whether a delivery in this status may be tried (again).

    SMS goes out at most once, so `unknown` ends it. An email goes out at least once: after `unknown` it is sent again
    under the same Message-ID, by which mail programs show one; but a server that never answers gets no more than
    `MOST_UNSURE_EMAILS`.
    """
    if status is DeliveryStatus.UNKNOWN:
        return channel is Channel.EMAIL and attempts < MOST_UNSURE_EMAILS
    return status in {None, DeliveryStatus.PENDING, DeliveryStatus.SKIPPED}


def reason_for_nothing(skipped: Mapping[Channel, SkipReason]) -> SkipReason:
    """Return the one reason that tells best why no channel carried a digest."""
    reasons = [reason for reason in skipped.values() if reason is not SkipReason.NOT_NEEDED]
    for telling in (SkipReason.QUIET_HOURS, SkipReason.NOT_CONFIGURED):
        if telling in reasons:
            return telling
    return reasons[0] if len(set(reasons)) == 1 else SkipReason.NO_ADDRESS
