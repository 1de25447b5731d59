"""The channels that carry a digest, one record each, and when a channel is used.

A new channel is one record here, its `Sender` (`cli/jobs/message_senders.py`), and its section in the file of
`user import` (`adapters/files/channel_file.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from catchup_contract.summary import Count
from catchup_jobs.domain.digest.addresses import fold_case, mask_email, mask_number, unchanged
from catchup_jobs.domain.stored_enums import ChannelMode, DeliveryStatus, SkipReason

# The provider has the message, or may have it.
MAYBE_SENT: Final = frozenset({DeliveryStatus.SENDING, DeliveryStatus.SENT, DeliveryStatus.UNKNOWN})
# The provider was asked to send: somebody may have read the message, or the provider refused it for good.
ATTEMPTED: Final = MAYBE_SENT | {DeliveryStatus.FAILED}
_NOT_SENT: Final = frozenset({DeliveryStatus.PENDING, DeliveryStatus.SKIPPED})


@dataclass(frozen=True, slots=True)
class Channel:
    """A way by which a digest reaches its user.

    Attributes:
        name: in the database, in the import file, and in lists.
        sent_count: the summary's count of messages that the provider accepted.
        mask: returns an address in a form that its owner recognizes and nobody else can use.
        needs_consent: nothing is sent before the user's consent is recorded.
        respects_quiet_hours: a message at night would disturb.
        can_look_up: the provider lists its messages. A delivery in status `unknown` is looked up, and a status that is
            not final is read again.
        resend_limit: the number of attempts up to which a delivery in status `unknown` is sent again; 0: never.
        fallback_for: the channel that this one replaces for users whose mode is `fallback`.
        consent_form: returns the form of an address under which consent and opt-out are kept.
    """

    name: str
    sent_count: Count
    mask: Callable[[str], str]
    needs_consent: bool = False
    respects_quiet_hours: bool = False
    can_look_up: bool = False
    resend_limit: int = 0
    fallback_for: Channel | None = None
    consent_form: Callable[[str], str] = unchanged

    def __str__(self) -> str:
        """Return the name."""
        return self.name


# An SMS is sent at most once.
SMS: Final = Channel(
    "sms",
    sent_count=Count.SMS_SENT,
    mask=mask_number,
    needs_consent=True,
    respects_quiet_hours=True,
    can_look_up=True,
)
# An email is sent at least once: mail programs show messages with the same Message-ID once.
EMAIL: Final = Channel(
    "email",
    sent_count=Count.EMAILS_SENT,
    mask=mask_email,
    resend_limit=4,
    fallback_for=SMS,
    consent_form=fold_case,
)

# In the order in which a digest uses them: a fallback follows the channel that it replaces.
CHANNELS: Final = {channel.name: channel for channel in (SMS, EMAIL)}


@dataclass(frozen=True, slots=True)
class Destination:
    """Where one channel reaches a user, and whether it may.

    Attributes:
        address: the E.164 number or the email address, None where there is none.
        key: keyed hash of the address, under which consent and opt-out are kept.
        consented: the user agreed to messages.
        opted_out: the owner of the address replied STOP or unsubscribed. This belongs to the address, not to the user.
        configured: the installation has a provider for the channel.
    """

    address: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)
    mode: ChannelMode = ChannelMode.OFF
    consented: bool = False
    opted_out: bool = False
    configured: bool = True


def skip_reason(channel: Channel, destination: Destination, *, quiet: bool = False) -> SkipReason | None:
    """Return why a channel cannot be used for a user now, None where it can.

    Args:
        quiet: a message would disturb now (`digest_rule.is_quiet`).
    """
    rules = (
        (destination.address is None, SkipReason.NO_ADDRESS),
        (destination.mode is ChannelMode.OFF, SkipReason.OFF),
        (destination.opted_out, SkipReason.OPTED_OUT),
        (channel.needs_consent and not destination.consented, SkipReason.NO_CONSENT),
        (not destination.configured, SkipReason.NOT_CONFIGURED),
        (channel.respects_quiet_hours and quiet, SkipReason.QUIET_HOURS),
    )
    return next((reason for applies, reason in rules if applies), None)


def is_wanted(mode: ChannelMode, replaced: DeliveryStatus | None) -> bool:
    """Return whether the digest is sent by a channel, given the user's mode for it.

    A fallback is sent only where the channel that it replaces will not send: that delivery failed for good, or was
    skipped. It is not sent while that delivery may still be sent, nor where it may have been (`unknown`).

    Args:
        replaced: the status of the delivery by the channel in `fallback_for`, None where there is none.
    """
    match mode:
        case ChannelMode.ON:
            return True
        case ChannelMode.OFF:
            return False
        case ChannelMode.FALLBACK:
            return replaced in {DeliveryStatus.FAILED, DeliveryStatus.SKIPPED}


def may_send(channel: Channel, status: DeliveryStatus | None, *, attempts: int = 0) -> bool:
    """Return whether a delivery in this status may be sent (again).

    Args:
        status: None where there is no delivery yet.
        attempts: how often the delivery was claimed.
    """
    if status is DeliveryStatus.UNKNOWN:
        return attempts < channel.resend_limit
    return status is None or status in _NOT_SENT


def overall_skip_reason(skipped: Mapping[Channel, SkipReason]) -> SkipReason:
    """Return the most specific reason why no channel carried a digest."""
    reasons = [reason for reason in skipped.values() if reason is not SkipReason.NOT_NEEDED]
    for specific in (SkipReason.QUIET_HOURS, SkipReason.NOT_CONFIGURED):
        if specific in reasons:
            return specific
    return reasons[0] if len(set(reasons)) == 1 else SkipReason.NO_ADDRESS
