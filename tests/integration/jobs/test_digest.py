"""The digest against real databases, a double of Twilio and a real mail server: one message per channel and date."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from integration.jobs.digest_world import (
    ADA,
    BASE_URL,
    BOB,
    DATE,
    DUE,
    FRIEND,
    MAILBOX,
    PHONE,
    DigestWorld,
)
from sqlalchemy import select

from catchup_contract.digest_rule import DigestDay, DigestTime
from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.schema import runs
from catchup_jobs.domain.digest.channels import SMS
from catchup_jobs.domain.stored_enums import (
    ChannelMode,
    DeliveryStatus,
    RunState,
    SkipReason,
    SuggestionStatus,
    Trigger,
)

if TYPE_CHECKING:
    from catchup_jobs.jobs.run.endings import Report


def told(report: Report) -> tuple[int, Outcome, Reason | None]:
    return report.exit_code, report.summary.outcome, report.summary.reason


SENT = (ExitCode.DONE, Outcome.DONE, None)


def skipped(reason: Reason) -> tuple[int, Outcome, Reason]:
    return ExitCode.DONE, Outcome.SKIPPED, reason


# What is sent, and to whom ----------------------------------------------------------------------------------------


def test_a_digest_is_one_sms_to_the_users_own_number_with_all_pending_suggestions(digest_world: DigestWorld) -> None:
    digest_world.suggest("Ben", zone="America/New_York")
    digest_world.suggest("Cleo", hours=50, trigger=Trigger.SHARED_ACTIVITY)
    report = digest_world.digest()
    assert told(report) == SENT
    assert report.summary.counts == {Count.DIGEST_ITEMS: 2, Count.SMS_SENT: 1}
    (sms,) = digest_world.sms()
    assert sms["to"] == PHONE  # never the friend: contacts have no address here at all
    assert "Ben Mon 30 Nov 15:00 CET (09:00 EST there), call: 42 days since you last met" in sms["body"]
    assert "Cleo Tue 1 Dec 11:00 CET" in sms["body"]
    assert int(sms["num_segments"]) <= 2
    assert digest_world.emails() == []
    assert digest_world.statuses() == {"sms": "sent", "email": "skipped(not_needed)"}
    assert digest_world.delivery(SMS).provider_id == sms["sid"]


def test_the_digest_never_goes_to_another_users_address(digest_world: DigestWorld) -> None:
    digest_world.add_user(BOB, name="Bob")
    digest_world.reach(BOB, phone="+447700900456", email="bob@example.com")
    digest_world.suggest("Ben")
    digest_world.suggest("Cleo", user_id=BOB)
    digest_world.digest(ADA)
    digest_world.digest(BOB)
    assert {message["to"]: "Ben" in message["body"] for message in digest_world.sms()} == {
        PHONE: True,
        "+447700900456": False,
    }


@pytest.mark.parametrize(
    "status",
    [SuggestionStatus.ACCEPTED, SuggestionStatus.DISMISSED, SuggestionStatus.SNOOZED, SuggestionStatus.EXPIRED],
)
def test_only_pending_suggestions_are_proposed(digest_world: DigestWorld, status: SuggestionStatus) -> None:
    digest_world.suggest(status=status)
    assert told(digest_world.digest()) == skipped(Reason.EMPTY)


@pytest.mark.parametrize("what", [{"hours": -1}, {"booked_event_id": "event-1"}])
def test_a_past_slot_and_a_booked_one_are_not_proposed(digest_world: DigestWorld, what: dict[str, object]) -> None:
    digest_world.suggest(**what)  # type: ignore[arg-type]
    assert told(digest_world.digest()) == skipped(Reason.EMPTY)
    assert digest_world.sms() == []


def test_a_suggestion_that_was_not_answered_is_in_the_next_digest_too_until_its_slot_passes(
    digest_world: DigestWorld,
) -> None:
    digest_world.suggest(hours=8 * 24)
    digest_world.digest()
    digest_world.now += timedelta(days=7)
    assert told(digest_world.digest(slot=DUE + timedelta(days=7))) == SENT
    digest_world.now += timedelta(days=7)
    assert told(digest_world.digest(slot=DUE + timedelta(days=14))) == skipped(Reason.EMPTY)
    assert len(digest_world.sms()) == 2


def test_no_pending_suggestion_sends_nothing_and_may_be_claimed_again_that_day(digest_world: DigestWorld) -> None:
    assert told(digest_world.digest()) == skipped(Reason.EMPTY)
    assert [row.skip_reason for row in digest_world.digest_rows()] == ["empty"]
    digest_world.suggest()
    assert told(digest_world.firing(1)) == SENT
    assert [row.skip_reason for row in digest_world.digest_rows()] == [None]


def test_an_email_is_text_and_html_in_the_users_own_mailbox(digest_world: DigestWorld) -> None:
    digest_world.reach(phone=None)
    digest_world.suggest("Ben & <Co>")
    assert told(digest_world.digest()) == SENT
    (email,) = digest_world.emails()
    headers = dict(email["headers"])
    assert email["recipients"] == [MAILBOX]
    assert email["encrypted"]
    assert headers["From"] == "CatchUp <digest@example.com>"
    assert headers["To"] == MAILBOX
    assert headers["Subject"] == "Catch up with Ben & <Co>"
    assert "Monday 30 November, 15:00-16:00 CET" in email["text"]
    assert "Ben &amp; &lt;Co&gt;" in email["html"]
    assert "<Co>" not in email["html"]
    assert "List-Unsubscribe" not in headers
    assert "http" not in email["text"]


def test_with_an_action_base_url_messages_carry_links_and_the_email_an_unsubscribe(digest_world: DigestWorld) -> None:
    digest_world.base_url = BASE_URL
    digest_world.reach(email_mode=ChannelMode.ON)
    digest_world.suggest()
    digest_world.digest()
    (sms,), (email,) = digest_world.sms(), digest_world.emails()
    assert f"{BASE_URL}/" in sms["body"]
    headers = dict(email["headers"])
    assert headers["List-Unsubscribe"].startswith(f"<{BASE_URL}/")
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert all(f"{action}: {BASE_URL}/" in email["text"] for action in ("Accept", "Snooze", "Dismiss"))


# Once per date ----------------------------------------------------------------------------------------------------


def test_a_second_run_of_a_slot_and_the_later_firings_send_nothing_again(digest_world: DigestWorld) -> None:
    digest_world.suggest()
    assert told(digest_world.digest()) == SENT
    assert told(digest_world.digest()) == skipped(Reason.ALREADY_DONE)
    digest_world.suggest("Cleo")
    assert told(digest_world.firing(1)) == skipped(Reason.ALREADY_DONE)
    assert told(digest_world.firing(3)) == skipped(Reason.ALREADY_DONE)
    assert told(digest_world.digest(slot=None)) == skipped(Reason.ALREADY_DONE)
    assert len(digest_world.sms()) == 1


def test_a_firing_that_finds_its_date_settled_closes_its_run(digest_world: DigestWorld) -> None:
    digest_world.suggest()
    digest_world.digest()
    assert told(digest_world.firing(1)) == skipped(Reason.ALREADY_DONE)
    with digest_world.database.read() as connection:
        (row,) = connection.execute(select(runs).where(runs.c.state != RunState.DONE)).all()
    # Left open, it would be swept into the dead letters when its lease is over.
    assert (row.state, row.reason, row.owner, row.lease_until) == (RunState.SKIPPED, Reason.ALREADY_DONE, None, None)


def test_the_next_occurrence_is_a_digest_of_its_own_even_a_few_hours_later(digest_world: DigestWorld) -> None:
    digest_world.when = DigestTime(ZoneInfo("Europe/Berlin"), DigestDay.DAILY, time(20))
    digest_world.suggest(hours=100)
    evening = DUE + timedelta(hours=11)
    digest_world.now = evening
    assert told(digest_world.digest(slot=evening)) == SENT
    digest_world.when = DigestTime(ZoneInfo("Europe/Berlin"), DigestDay.DAILY, time(8))
    morning = DUE + timedelta(hours=23)  # eleven hours after the last one, and another date
    digest_world.now = morning
    assert told(digest_world.digest(slot=morning)) == SENT
    assert len(digest_world.sms()) == 2


def test_a_slot_that_is_not_due_ends_at_once(digest_world: DigestWorld) -> None:
    digest_world.suggest()
    assert told(digest_world.digest(slot=DUE - timedelta(hours=1))) == skipped(Reason.NOT_DUE)
    assert digest_world.digest_rows() == []


def test_what_was_due_while_the_schedule_was_suspended_is_not_caught_up_on(digest_world: DigestWorld) -> None:
    digest_world.suggest()
    resumed = DUE + timedelta(minutes=30)
    digest_world.when = DigestTime(ZoneInfo("Europe/Berlin"), DigestDay.SUNDAY, time(9), resumed)
    digest_world.now = DUE + timedelta(hours=1)
    assert told(digest_world.digest(slot=digest_world.now)) == skipped(Reason.NOT_DUE)
    assert (digest_world.sms(), digest_world.digest_rows()) == ([], [])
    digest_world.now = DUE + timedelta(days=7)
    digest_world.suggest()
    assert told(digest_world.digest(slot=digest_world.now))[2] is not Reason.NOT_DUE


def test_a_pod_that_starts_after_midnight_serves_the_evening_before(digest_world: DigestWorld) -> None:
    digest_world.when = DigestTime(ZoneInfo("Europe/Berlin"), DigestDay.SUNDAY, time(23, 50))
    digest_world.suggest()
    slot = DUE.replace(hour=22, minute=50)
    digest_world.now = slot + timedelta(minutes=15)
    assert told(digest_world.digest(slot=slot)) == SENT
    assert [row.due_date for row in digest_world.digest_rows()] == [DATE]


def test_more_than_four_hours_after_the_due_time_is_skipped_late(digest_world: DigestWorld) -> None:
    digest_world.suggest()
    digest_world.now = DUE + timedelta(hours=4, minutes=1)
    assert told(digest_world.digest(slot=DUE + timedelta(hours=3))) == skipped(Reason.LATE)
    assert [row.skip_reason for row in digest_world.digest_rows()] == ["late"]
    assert digest_world.sms() == []


@pytest.mark.parametrize("reason", [Reason.EMPTY, Reason.PAUSED, Reason.NO_CHANNEL, Reason.QUIET_HOURS], ids=str)
def test_a_firing_four_hours_after_the_due_time_is_no_news_about_a_date_that_an_earlier_one_skipped(
    digest_world: DigestWorld, reason: Reason
) -> None:
    """In a zone with two offsets a firing comes then, half of the year, on each date."""
    after_due = 0.0
    if reason is not Reason.EMPTY:
        digest_world.suggest()
    if reason is Reason.PAUSED:
        digest_world.set_user(paused=True)
    if reason is Reason.NO_CHANNEL:
        digest_world.reach(phone=None, email=None)
    if reason is Reason.QUIET_HOURS:
        digest_world.when = DigestTime(ZoneInfo("Europe/Berlin"), DigestDay.SUNDAY, time(18, 30))
        digest_world.reach(email=None)
        after_due = 9.5  # from 09:00, which is what the hours of `firing` count from
    assert told(digest_world.firing(after_due + 3)) == skipped(reason)
    before = digest_world.digest_rows(), digest_world.statuses()
    digest_world.now = DUE + timedelta(hours=after_due + 4, seconds=20)
    assert told(digest_world.firing(after_due + 4)) == skipped(reason)
    assert (digest_world.digest_rows(), digest_world.statuses()) == before


def test_a_firing_four_hours_after_the_due_time_of_a_date_that_no_pod_served_is_late(
    digest_world: DigestWorld,
) -> None:
    digest_world.suggest()
    digest_world.now = DUE + timedelta(hours=4, seconds=20)
    assert told(digest_world.firing(4)) == skipped(Reason.LATE)


def test_a_digest_time_edited_forwards_and_backwards_is_still_one_a_date(digest_world: DigestWorld) -> None:
    digest_world.suggest()
    digest_world.digest()
    for clock in (time(10), time(8, 30), time(9)):
        digest_world.when = DigestTime(ZoneInfo("Europe/Berlin"), DigestDay.SUNDAY, clock)
        slot = DUE.replace(hour=clock.hour - 1, minute=clock.minute)
        digest_world.now = max(slot, DUE)
        assert told(digest_world.digest(slot=slot))[2] in {Reason.ALREADY_DONE, None}
    assert len(digest_world.sms()) == 1


def test_a_zone_moved_across_the_date_line_is_still_one_a_date(digest_world: DigestWorld) -> None:
    digest_world.suggest(hours=60)
    digest_world.when = DigestTime(ZoneInfo("Pacific/Auckland"), DigestDay.DAILY, time(9))
    digest_world.now = slot = DUE - timedelta(hours=12)  # 09:00 of the 29th in Auckland
    assert told(digest_world.digest(slot=slot)) == SENT
    digest_world.when = DigestTime(ZoneInfo("Pacific/Honolulu"), DigestDay.DAILY, time(9))
    digest_world.now = slot = DUE + timedelta(hours=11)  # 09:00 of the 29th again, in Honolulu
    assert told(digest_world.digest(slot=slot)) == skipped(Reason.ALREADY_DONE)
    assert len(digest_world.sms()) == 1


def test_a_digest_by_hand_serves_today_once(digest_world: DigestWorld) -> None:
    digest_world.now = DUE + timedelta(days=2, hours=3)  # a Tuesday
    digest_world.suggest(hours=80)
    assert told(digest_world.digest(slot=None)) == SENT
    assert told(digest_world.digest(slot=None)) == skipped(Reason.ALREADY_DONE)
    assert [row.due_date for row in digest_world.digest_rows()] == [DATE + timedelta(days=2)]


# Channels ---------------------------------------------------------------------------------------------------------


def test_with_email_on_both_channels_carry_the_same_items(digest_world: DigestWorld) -> None:
    digest_world.reach(email_mode=ChannelMode.ON)
    digest_world.suggest()
    report = digest_world.digest()
    assert report.summary.counts == {Count.DIGEST_ITEMS: 1, Count.SMS_SENT: 1, Count.EMAILS_SENT: 1}
    assert FRIEND in digest_world.sms()[0]["body"]
    assert FRIEND in digest_world.emails()[0]["text"]
    assert digest_world.statuses() == {"sms": "sent", "email": "sent"}


@pytest.mark.parametrize(
    ("reach", "sms", "email"),
    [
        ({"consented": False}, "skipped(no_consent)", "sent"),
        ({"sms_mode": ChannelMode.OFF}, "skipped(off)", "sent"),
        ({"phone": None}, "skipped(no_address)", "sent"),
        ({"consented": False, "email": None}, "skipped(no_consent)", "skipped(no_address)"),
        ({"consented": False, "email_mode": ChannelMode.OFF}, "skipped(no_consent)", "skipped(off)"),
    ],
)
def test_without_an_sms_email_stands_in_and_merely_no_address_is_no_failure(
    digest_world: DigestWorld, reach: dict[str, object], sms: str, email: str
) -> None:
    digest_world.reach(**reach)  # type: ignore[arg-type]
    digest_world.suggest()
    report = digest_world.digest()
    assert told(report) == (SENT if email == "sent" else skipped(Reason.NO_CHANNEL))
    assert digest_world.statuses() == {"sms": sms, "email": email}
    assert digest_world.sms() == []
    assert Count.DELIVERIES_FAILED not in report.summary.counts


def test_a_channel_that_is_not_configured_is_skipped_with_exit_0(digest_world: DigestWorld) -> None:
    digest_world.has_twilio = digest_world.has_mail = False
    digest_world.suggest()
    assert told(digest_world.digest()) == skipped(Reason.NOT_CONFIGURED)
    assert digest_world.statuses() == {"sms": "skipped(not_configured)", "email": "skipped(not_configured)"}
    digest_world.has_twilio = True
    assert told(digest_world.firing(1)) == SENT  # configured since: skipped was not the last word


def test_a_paused_user_gets_nothing(digest_world: DigestWorld) -> None:
    digest_world.set_user(paused=True)
    digest_world.suggest()
    assert told(digest_world.digest()) == skipped(Reason.PAUSED)
    digest_world.set_user(paused=False)
    assert told(digest_world.firing(1)) == SENT


def test_an_unknown_user_is_permanent_and_no_dead_letter(digest_world: DigestWorld) -> None:
    assert told(digest_world.digest("nobody")) == (ExitCode.PERMANENT, Outcome.FAILED, Reason.UNKNOWN_USER)


def test_a_digest_by_hand_at_night_texts_nobody_unless_told_so(digest_world: DigestWorld) -> None:
    digest_world.when = None
    digest_world.set_user(digest_time=time(7, 30))
    digest_world.suggest()
    digest_world.now = DUE.replace(hour=0, minute=21) - timedelta(hours=1)
    assert told(digest_world.digest(slot=None)) == SENT
    assert digest_world.statuses() == {"sms": "skipped(quiet_hours)", "email": "sent"}
    digest_world.now += timedelta(days=1)
    digest_world.even_at_night = True
    assert told(digest_world.digest(slot=None)) == SENT
    assert len(digest_world.sms()) == 1


@pytest.mark.parametrize(
    ("spread", "footer"),
    [(time(9, 17), "09:00"), (time(9), "09:00"), (time(12, 59), "09:00"), (time(13), "13:00"), (time(8, 59), "08:59")],
)
def test_the_footer_names_the_time_that_the_user_chose_not_the_spread_one(
    digest_world: DigestWorld, spread: time, footer: str
) -> None:
    digest_world.when = DigestTime(ZoneInfo("Europe/Berlin"), DigestDay.SUNDAY, spread)
    digest_world.reach(phone=None)
    digest_world.suggest()
    slot = digest_world.now = datetime.combine(DATE, spread, ZoneInfo("Europe/Berlin")).astimezone(UTC)
    assert told(digest_world.digest(slot=slot)) == SENT
    (email,) = digest_world.emails()
    assert f"every Sunday at {footer} (Europe/Berlin)" in email["text"]
    assert f"every Sunday at {footer} (Europe/Berlin)" in email["html"]


def test_in_quiet_hours_no_sms_is_sent_and_email_stands_in(digest_world: DigestWorld) -> None:
    digest_world.when = DigestTime(ZoneInfo("Europe/Berlin"), DigestDay.SUNDAY, time(19))
    digest_world.suggest()
    slot = DUE.replace(hour=21)  # 22:00 in Berlin, the firing three hours after
    digest_world.now = slot
    assert told(digest_world.digest(slot=slot)) == SENT
    assert digest_world.statuses() == {"sms": "skipped(quiet_hours)", "email": "sent"}


def test_in_quiet_hours_without_email_the_digest_is_skipped_with_that_reason(digest_world: DigestWorld) -> None:
    digest_world.when = DigestTime(ZoneInfo("Europe/Berlin"), DigestDay.SUNDAY, time(19))
    digest_world.reach(email=None)
    digest_world.suggest()
    digest_world.now = slot = DUE.replace(hour=21)
    assert told(digest_world.digest(slot=slot)) == skipped(Reason.QUIET_HOURS)


# Opting out -------------------------------------------------------------------------------------------------------


def test_a_stop_belongs_to_the_number_outlives_the_user_and_only_a_later_consent_ends_it(
    digest_world: DigestWorld,
) -> None:
    digest_world.twilio.control.stop(PHONE)
    digest_world.suggest()
    digest_world.digest()
    assert digest_world.statuses() == {"sms": "failed(21610)", "email": "sent"}
    with digest_world.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM users")
    digest_world.add_user(BOB, name="Bob")
    digest_world.reach(BOB, consented=True)  # the same number, without a date: an old file perhaps
    digest_world.suggest(user_id=BOB)
    digest_world.digest(BOB)
    assert digest_world.delivery(SMS, BOB).skip_reason == "opted_out"
    digest_world.twilio.store.stopped.clear()
    digest_world.reach(BOB, consented_at=digest_world.now + timedelta(minutes=1))
    digest_world.pass_time(days=1)
    assert told(digest_world.digest(BOB, slot=None)) == SENT
    assert len(digest_world.sms(PHONE)) == 1


def test_the_number_is_stored_sealed_and_the_stop_as_a_hash_only(digest_world: DigestWorld) -> None:
    digest_world.twilio.control.stop(PHONE)
    digest_world.suggest()
    digest_world.digest()
    with digest_world.database.read() as connection:
        for table in ("addresses", "consents", "digests", "deliveries", "runs"):
            stored = repr(connection.exec_driver_sql(f"SELECT * FROM {table}").all())  # noqa: S608 - our names
            assert PHONE not in stored
            assert PHONE.removeprefix("+") not in stored
            assert MAILBOX not in stored


# What the suggestions learn ---------------------------------------------------------------------------------------


def test_a_suggestion_counts_as_delivered_from_the_claim_on_and_keeps_its_first_time(digest_world: DigestWorld) -> None:
    suggestion = digest_world.suggest(hours=300)
    assert digest_world.suggestion(suggestion).delivered_at is None
    digest_world.digest()
    first = digest_world.suggestion(suggestion)
    assert (first.delivered_at, first.version) == (DUE, 2)
    digest_world.now += timedelta(days=7)
    digest_world.digest(slot=DUE + timedelta(days=7))
    assert digest_world.suggestion(suggestion).delivered_at == DUE


def test_a_message_that_certainly_did_not_go_out_leaves_its_suggestions_undelivered(digest_world: DigestWorld) -> None:
    digest_world.reach(email=None)
    digest_world.twilio.control.add_fault(kind="create", status=400, code=21211)
    suggestion = digest_world.suggest()
    assert told(digest_world.digest()) == (ExitCode.DONE, Outcome.DONE, Reason.UNDELIVERED)
    assert digest_world.suggestion(suggestion).delivered_at is None
    # Refused for good: the later firings say the same and try nothing.
    assert told(digest_world.firing(1)) == skipped(Reason.UNDELIVERED)
    assert len(digest_world.twilio.log) == 1


def test_items_are_frozen_once_somebody_may_have_read_them(digest_world: DigestWorld) -> None:
    digest_world.reach(email_mode=ChannelMode.ON)
    digest_world.suggest("Ben")
    digest_world.mail.control.add_fault(stage="rcpt", reply="451 later", times=4)
    report = digest_world.digest()
    assert (report.exit_code, report.summary.reason) == (ExitCode.PERMANENT, Reason.BUDGET_SPENT)
    digest_world.suggest("Cleo")
    assert told(digest_world.firing(1)) == SENT
    (email,) = digest_world.emails()
    assert "Ben" in email["text"]
    assert "Cleo" not in email["text"]
    assert len(digest_world.sms()) == 1


def test_items_are_taken_anew_while_nobody_can_have_read_them(digest_world: DigestWorld) -> None:
    digest_world.suggest("Ben")
    digest_world.twilio.control.add_fault(kind="create", status=401, code=20003)
    assert digest_world.digest().exit_code == ExitCode.MISCONFIGURED
    digest_world.suggest("Cleo")
    assert told(digest_world.firing(1)) == SENT
    assert "Cleo" in digest_world.sms()[0]["body"]


def test_one_that_was_answered_meanwhile_is_left_out_of_the_second_channel(digest_world: DigestWorld) -> None:
    digest_world.reach(email_mode=ChannelMode.ON)
    digest_world.suggest("Ben")
    answered = digest_world.suggest("Cleo")
    digest_world.mail.control.add_fault(stage="rcpt", reply="451 later", times=4)
    digest_world.digest()
    with digest_world.database.write() as connection:
        connection.exec_driver_sql(f"UPDATE suggestions SET status = 'dismissed' WHERE id = {answered}")  # noqa: S608
    digest_world.firing(1)
    assert "Cleo" not in digest_world.emails()[0]["text"]


def test_digests_are_forgotten_after_ninety_days(digest_world: DigestWorld) -> None:
    digest_world.suggest(hours=24 * 200)
    digest_world.digest()
    digest_world.now += timedelta(days=98)
    digest_world.digest(slot=DUE + timedelta(days=98))
    assert len(digest_world.digest_rows()) == 1
    assert digest_world.delivery(SMS) is None


def test_digests_that_were_skipped_are_forgotten_too(digest_world: DigestWorld) -> None:
    for weeks in range(0, 28, 2):
        slot = DUE + timedelta(weeks=weeks)
        digest_world.now = slot
        digest_world.digest(slot=slot)
    rows = digest_world.digest_rows()
    assert {row.skip_reason for row in rows} == {SkipReason.EMPTY}
    assert len(rows) == 7, "those of the last 90 days"


def test_a_delivery_tells_its_attempts_and_the_providers_state(digest_world: DigestWorld) -> None:
    digest_world.twilio.control.add_fault(kind="create", status=429, code=20429, retry_after="5")
    digest_world.suggest()
    digest_world.digest()
    row = digest_world.delivery(SMS)
    assert (row.status, row.attempts, row.provider_status) == (DeliveryStatus.SENT, 2, "queued")
