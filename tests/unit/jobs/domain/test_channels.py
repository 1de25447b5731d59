"""Who is reached by which channel."""

from __future__ import annotations

import pytest

from catchup_jobs.domain.digest.addresses import masked
from catchup_jobs.domain.digest.channels import (
    MOST_UNSURE_EMAILS,
    Reach,
    email_wanted,
    may_send,
    obstacle,
    reason_for_nothing,
)
from catchup_jobs.domain.vocabulary import Channel, ChannelMode, DeliveryStatus, SkipReason

PHONE, EMAIL = "+447700900123", "ada@example.com"
SMS = Reach(PHONE, "key", ChannelMode.ON, consented=True)
MAIL = Reach(EMAIL, "key", ChannelMode.FALLBACK)


@pytest.mark.parametrize(
    ("reach", "reason"),
    [
        (SMS, None),
        (Reach(), SkipReason.NO_ADDRESS),
        (Reach(PHONE, "key", ChannelMode.OFF, consented=True), SkipReason.OFF),
        (Reach(PHONE, "key", ChannelMode.ON), SkipReason.NO_CONSENT),
        (Reach(PHONE, "key", ChannelMode.ON, consented=True, opted_out=True), SkipReason.OPTED_OUT),
        (Reach(PHONE, "key", ChannelMode.ON, consented=True, configured=False), SkipReason.NOT_CONFIGURED),
    ],
)
def test_sms_needs_a_number_the_users_will_recorded_consent_and_a_provider(
    reach: Reach, reason: SkipReason | None
) -> None:
    assert obstacle(Channel.SMS, reach) is reason


def test_quiet_hours_stop_sms_only() -> None:
    assert obstacle(Channel.SMS, SMS, quiet=True) is SkipReason.QUIET_HOURS
    assert obstacle(Channel.EMAIL, MAIL, quiet=True) is None


def test_email_needs_no_consent_but_an_unsubscription_holds() -> None:
    assert obstacle(Channel.EMAIL, MAIL) is None
    assert obstacle(Channel.EMAIL, Reach(EMAIL, "key", ChannelMode.ON, opted_out=True)) is SkipReason.OPTED_OUT


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
    assert email_wanted(ChannelMode.FALLBACK, sms) is fallback
    assert email_wanted(ChannelMode.ON, sms)
    assert not email_wanted(ChannelMode.OFF, sms)


@pytest.mark.parametrize("status", [DeliveryStatus.SENT, DeliveryStatus.SENDING, DeliveryStatus.FAILED])
def test_what_was_sent_or_refused_is_never_sent_again(status: DeliveryStatus) -> None:
    assert not any(may_send(channel, status) for channel in Channel)


def test_after_unknown_an_sms_is_not_sent_again_and_an_email_is_a_few_times() -> None:
    assert not may_send(Channel.SMS, DeliveryStatus.UNKNOWN)
    assert may_send(Channel.EMAIL, DeliveryStatus.UNKNOWN, attempts=MOST_UNSURE_EMAILS - 1)
    assert not may_send(Channel.EMAIL, DeliveryStatus.UNKNOWN, attempts=MOST_UNSURE_EMAILS)


@pytest.mark.parametrize("status", [None, DeliveryStatus.PENDING, DeliveryStatus.SKIPPED])
def test_what_was_not_sent_may_be(status: DeliveryStatus | None) -> None:
    assert all(may_send(channel, status) for channel in Channel)


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
    assert reason_for_nothing({Channel.SMS: sms, Channel.EMAIL: email}) is told


def test_an_address_is_shown_masked() -> None:
    assert masked(Channel.SMS, PHONE) == "+44********23"
    assert masked(Channel.EMAIL, EMAIL) == "a***@example.com"
    assert PHONE not in repr(SMS)
    assert EMAIL not in repr(MAIL)
