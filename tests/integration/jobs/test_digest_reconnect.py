"""A user whose calendar must be connected again is asked for it: in every digest, and alone once in two weeks."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest
from integration.jobs.digest_world import ADA, DATE, DUE, MAILBOX, PHONE, SUNDAY_NINE
from integration.jobs.test_digest import SENT, skipped, told
from sqlalchemy import update

from catchup_contract.digest_rule import DigestDay, DigestTime
from catchup_contract.outcomes import Outcome, Reason
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.schema import suggestions
from catchup_jobs.domain.digest.channels import SMS
from catchup_jobs.domain.stored_enums import ChannelMode, SuggestionStatus

if TYPE_CHECKING:
    from integration.jobs.digest_world import DigestWorld

CONNECT = "https://app.example.com/settings?tab=calendar"
ALONE = "CatchUp: Google no longer lets CatchUp read your calendar; to get new suggestions, connect it again"


def weeks(world: DigestWorld, count: int) -> list[tuple[date, Reason | None]]:
    """Run a digest each week from the due date on; return how each ended."""
    ends = []
    for week in range(count):
        world.now = DUE + timedelta(weeks=week)
        report = world.digest(slot=world.now)
        ends.append((DATE + timedelta(weeks=week), report.summary.reason))
    return ends


def test_a_digest_with_people_asks_too_each_time(digest_world: DigestWorld) -> None:
    digest_world.connect_url = CONNECT
    digest_world.end_consent()
    digest_world.reach(email_mode=ChannelMode.ON)
    digest_world.suggest(hours=24 * 13)
    assert [reason for _, reason in weeks(digest_world, 2)] == [None, None]
    for sms in digest_world.sms():
        assert "Ben Canary" in sms["body"]
        assert f"Reconnect your calendar: {CONNECT}" in sms["body"]
    assert len(digest_world.sms()) == 2
    for email in digest_world.emails():
        assert f"connect it again: {CONNECT}" in " ".join(email["text"].split())
        assert "tab=calendar" in email["html"]
    assert len(digest_world.emails()) == 2


def test_an_empty_digest_is_the_request_alone_once_in_two_weeks(digest_world: DigestWorld) -> None:
    digest_world.connect_url = CONNECT
    digest_world.end_consent()
    report = digest_world.digest()
    assert told(report) == SENT
    assert report.summary.counts == {Count.DIGEST_ITEMS: 0, Count.SMS_SENT: 1}
    (sms,) = digest_world.sms()
    assert sms["to"] == PHONE
    assert sms["body"].startswith(f"{ALONE}: {CONNECT}\n#")
    assert digest_world.statuses() == {"sms": "sent", "email": "skipped(not_needed)"}
    assert [reason for _, reason in weeks(digest_world, 5)] == [
        Reason.ALREADY_DONE,
        Reason.EMPTY,
        None,
        Reason.EMPTY,
        None,
    ]
    assert len(digest_world.sms()) == 3


def test_of_a_daily_digest_one_of_fourteen_asks_alone(digest_world: DigestWorld) -> None:
    digest_world.when = DigestTime(SUNDAY_NINE.zone, DigestDay.DAILY, SUNDAY_NINE.at)
    digest_world.end_consent()
    for day in range(29):
        digest_world.now = DUE + timedelta(days=day)
        digest_world.digest(slot=digest_world.now)
    assert [row.due_date for row in digest_world.digest_rows() if row.reconnect] == [
        DATE,
        DATE + timedelta(days=14),
        DATE + timedelta(days=28),
    ]
    assert len(digest_world.sms()) == 3


def test_whom_a_digest_with_people_asked_is_not_asked_alone_the_week_after(digest_world: DigestWorld) -> None:
    digest_world.end_consent()
    digest_world.suggest(hours=24)
    assert [reason for _, reason in weeks(digest_world, 3)] == [None, Reason.EMPTY, None]


def test_a_connected_user_and_one_without_a_calendar_are_not_asked(digest_world: DigestWorld) -> None:
    assert told(digest_world.digest()) == skipped(Reason.EMPTY)
    digest_world.connect()
    assert told(digest_world.firing(1)) == skipped(Reason.EMPTY)
    assert digest_world.sms() == []


def test_whoever_connected_again_is_not_asked_any_more(digest_world: DigestWorld) -> None:
    digest_world.end_consent()
    digest_world.digest()
    digest_world.connect()
    assert [reason for _, reason in weeks(digest_world, 3)][1:] == [Reason.EMPTY, Reason.EMPTY]


def test_a_message_that_certainly_did_not_go_out_has_not_asked(digest_world: DigestWorld) -> None:
    digest_world.end_consent()
    digest_world.reach(email=None)
    digest_world.twilio.control.add_fault(kind="create", status=400, code=21211)
    report = digest_world.digest()
    assert (report.summary.outcome, report.summary.reason) == (Outcome.DONE, Reason.UNDELIVERED)
    assert digest_world.delivery(SMS).status == "failed"
    digest_world.reach(phone=None)
    digest_world.now = DUE + timedelta(weeks=1)
    assert told(digest_world.digest(slot=digest_world.now)) == SENT
    (email,) = digest_world.emails()
    assert email["recipients"] == [MAILBOX]
    assert dict(email["headers"])["Subject"] == "Connect your calendar again"


def test_the_second_channel_asks_what_the_first_one_asked(digest_world: DigestWorld) -> None:
    digest_world.end_consent()
    digest_world.twilio.control.add_fault(kind="create", status=400, code=21211)
    assert told(digest_world.digest()) == (0, Outcome.DONE, Reason.PARTIAL)
    assert dict(digest_world.emails()[0]["headers"])["Subject"] == "Connect your calendar again"


def test_people_who_were_all_answered_meanwhile_leave_no_request_for_the_second_channel(
    digest_world: DigestWorld,
) -> None:
    digest_world.end_consent()
    suggestion = digest_world.suggest()

    def answer() -> None:
        with digest_world.database.write() as connection:
            connection.execute(
                update(suggestions).where(suggestions.c.id == suggestion).values(status=SuggestionStatus.DISMISSED)
            )

    digest_world.twilio.control.add_fault(kind="create", status=400, code=21211)
    with digest_world.while_twilio_is_asked(answer):
        digest_world.digest()
    assert digest_world.statuses() == {"sms": "failed(21211)", "email": "skipped(empty)"}
    assert digest_world.emails() == []


def test_at_night_and_when_paused_nobody_is_asked(digest_world: DigestWorld) -> None:
    digest_world.end_consent()
    digest_world.reach(email=None)
    digest_world.set_user(ADA, paused=True)
    assert told(digest_world.digest()) == skipped(Reason.PAUSED)
    digest_world.set_user(ADA, paused=False)
    digest_world.now = DUE + timedelta(hours=14)
    assert told(digest_world.digest(slot=None)) == skipped(Reason.QUIET_HOURS)
    assert digest_world.sms() == []


@pytest.mark.parametrize("killed", [True, False])
def test_a_request_whose_fate_is_unknown_counts_as_asked(digest_world: DigestWorld, killed: bool) -> None:
    digest_world.end_consent()
    digest_world.reach(email=None)
    if killed:
        digest_world.digest_killed_while_it_sends()
    else:
        digest_world.digest()
    digest_world.now = DUE + timedelta(weeks=1)
    assert digest_world.digest(slot=digest_world.now).summary.reason is Reason.EMPTY
    assert len(digest_world.sms()) == 1
