"""Who is reached by which channel."""

from __future__ import annotations

import pytest

from catchup_jobs.domain.digest.channels import (
    CHANNELS,
    EMAIL,
    SMS,
    Destination,
    is_wanted,
    may_send,
    overall_skip_reason,
    skip_reason,
)
from catchup_jobs.domain.stored_enums import ChannelMode, DeliveryStatus, SkipReason

PHONE, MAILBOX = "+447700900123", "ada@example.com"
BY_SMS = Destination(PHONE, "key", ChannelMode.ON, consented=True)
BY_EMAIL = Destination(MAILBOX, "key", ChannelMode.FALLBACK)


@pytest.mark.parametrize(
    ("destination", "reason"),
    [
        (BY_SMS, None),
        (Destination(), SkipReason.NO_ADDRESS),
        (Destination(PHONE, "key", ChannelMode.OFF, consented=True), SkipReason.OFF),
        (Destination(PHONE, "key", ChannelMode.ON), SkipReason.NO_CONSENT),
        (Destination(PHONE, "key", ChannelMode.ON, consented=True, opted_out=True), SkipReason.OPTED_OUT),
        (Destination(PHONE, "key", ChannelMode.ON, consented=True, configured=False), SkipReason.NOT_CONFIGURED),
    ],
)
def test_sms_needs_a_number_the_users_will_recorded_consent_and_a_provider(
    destination: Destination, reason: SkipReason | None
) -> None:
    assert skip_reason(SMS, destination) is reason


def test_quiet_hours_stop_sms_only() -> None:
    assert skip_reason(SMS, BY_SMS, quiet=True) is SkipReason.QUIET_HOURS
    assert skip_reason(EMAIL, BY_EMAIL, quiet=True) is None


def test_email_needs_no_consent_but_an_unsubscription_holds() -> None:
    assert skip_reason(EMAIL, BY_EMAIL) is None
    assert skip_reason(EMAIL, Destination(MAILBOX, "key", ChannelMode.ON, opted_out=True)) is SkipReason.OPTED_OUT


@pytest.mark.parametrize(
    ("sms", "fallback"),
    [
        (DeliveryStatus.FAILED, True),
        (DeliveryStatus.SKIPPED, True),
        (DeliveryStatus.SENT, False),
        (DeliveryStatus.UNKNOWN, False),
        (DeliveryStatus.SENDING, False),
        (DeliveryStatus.PENDING, False),
        (None, False),
    ],
)
def test_email_stands_in_only_where_no_sms_will_come(sms: DeliveryStatus | None, fallback: bool) -> None:
    assert is_wanted(ChannelMode.FALLBACK, sms) is fallback
    assert is_wanted(ChannelMode.ON, sms)
    assert not is_wanted(ChannelMode.OFF, sms)


@pytest.mark.parametrize("status", [DeliveryStatus.SENT, DeliveryStatus.SENDING, DeliveryStatus.FAILED])
def test_what_was_sent_or_refused_is_never_sent_again(status: DeliveryStatus) -> None:
    assert not any(may_send(channel, status) for channel in CHANNELS.values())


def test_after_unknown_an_sms_is_not_sent_again_and_an_email_is_a_few_times() -> None:
    assert not may_send(SMS, DeliveryStatus.UNKNOWN)
    assert may_send(EMAIL, DeliveryStatus.UNKNOWN, attempts=EMAIL.resend_limit - 1)
    assert not may_send(EMAIL, DeliveryStatus.UNKNOWN, attempts=EMAIL.resend_limit)


@pytest.mark.parametrize("status", [None, DeliveryStatus.PENDING, DeliveryStatus.SKIPPED])
def test_what_was_not_sent_may_be(status: DeliveryStatus | None) -> None:
    assert all(may_send(channel, status) for channel in CHANNELS.values())


@pytest.mark.parametrize(
    ("sms", "email", "told"),
    [
        (SkipReason.QUIET_HOURS, SkipReason.NO_ADDRESS, SkipReason.QUIET_HOURS),
        (SkipReason.NO_CONSENT, SkipReason.NOT_CONFIGURED, SkipReason.NOT_CONFIGURED),
        (SkipReason.OFF, SkipReason.OFF, SkipReason.OFF),
        (SkipReason.NO_CONSENT, SkipReason.OFF, SkipReason.NO_ADDRESS),
    ],
)
def test_the_most_telling_reason_is_told(sms: SkipReason, email: SkipReason, told: SkipReason) -> None:
    assert overall_skip_reason({SMS: sms, EMAIL: email}) is told


def test_an_address_is_shown_masked() -> None:
    assert SMS.mask(PHONE) == "+44********23"
    assert EMAIL.mask(MAILBOX) == "a***@example.com"
    assert PHONE not in repr(BY_SMS)
    assert MAILBOX not in repr(BY_EMAIL)
