"""What the first implementation of the digest got wrong, each mistake held off by a test of its name."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from integration.jobs.digest_world import DUE, MAILBOX, PHONE, DigestWorld
from sqlalchemy import func, select

from catchup_contract.digest_rule import DigestDay, DigestTime
from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.schema import deliveries, digests
from catchup_jobs.domain.digest.channels import SMS
from catchup_jobs.domain.stored_enums import ChannelMode, DeliveryStatus, SuggestionStatus, Trigger

if TYPE_CHECKING:
    from sqlalchemy import Table


def rows(world: DigestWorld, table: Table) -> int:
    with world.database.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_digest_sent_to_the_friend_instead_of_the_user(digest_world: DigestWorld) -> None:
    digest_world.reach(email_mode=ChannelMode.ON)
    digest_world.suggest("Ben +447700900999 ben@example.com")
    digest_world.digest()
    assert [sms["to"] for sms in digest_world.sms()] == [PHONE]
    assert [email["recipients"] for email in digest_world.emails()] == [[MAILBOX]]


def test_one_sms_per_suggestion_instead_of_a_digest(digest_world: DigestWorld) -> None:
    for number in range(7):
        digest_world.suggest(f"Friend {number}", hours=30 + number)
    digest_world.digest()
    (sms,) = digest_world.sms()
    assert all(f"Friend {number}" in sms["body"] for number in range(7))
    assert int(sms["num_segments"]) <= 2


def test_a_crash_re_sent_everything(digest_world: DigestWorld) -> None:
    digest_world.suggest()
    digest_world.digest_killed_while_it_sends()
    for _ in range(3):
        digest_world.digest()
    for hours in (1, 3):
        digest_world.firing(hours)
    assert len(digest_world.sms()) == 1
    assert digest_world.delivery(SMS).status is DeliveryStatus.SENT


def test_idempotency_key_without_the_occurrence_swallowed_legitimate_runs_for_24_h(digest_world: DigestWorld) -> None:
    digest_world.when = DigestTime(ZoneInfo("Europe/Berlin"), DigestDay.DAILY, time(9))
    digest_world.suggest(hours=100)
    for day in range(3):
        digest_world.now = slot = DUE + timedelta(days=day)
        assert digest_world.digest(slot=slot).summary.outcome is Outcome.DONE
    assert len(digest_world.sms()) == 3


def test_every_run_inserted_duplicates(digest_world: DigestWorld) -> None:
    digest_world.suggest()
    for _ in range(2):
        digest_world.digest()
        digest_world.digest(slot=None)
    assert (rows(digest_world, digests), rows(digest_world, deliveries)) == (1, 2)


@pytest.mark.parametrize("status", [SuggestionStatus.DISMISSED, SuggestionStatus.SNOOZED])
def test_dismissed_and_snoozed_ignored(digest_world: DigestWorld, status: SuggestionStatus) -> None:
    digest_world.suggest("Ben", status=status)
    digest_world.suggest("Cleo")
    digest_world.digest()
    assert "Ben" not in digest_world.sms()[0]["body"]


def test_paused_ignored(digest_world: DigestWorld) -> None:
    digest_world.suggest()
    digest_world.set_user(paused=True)
    assert digest_world.digest().summary.reason is Reason.PAUSED
    assert digest_world.sms() == []


def test_past_slots_never_expired_and_were_re_sent_weekly(digest_world: DigestWorld) -> None:
    digest_world.suggest("Ben", hours=30)
    digest_world.suggest("Cleo", hours=24 * 30)
    for week in range(3):
        digest_world.now = slot = DUE + timedelta(days=7 * week)
        digest_world.digest(slot=slot)
    assert ["Ben" in sms["body"] for sms in digest_world.sms()] == [True, False, False]


def test_utc_shown_to_users_without_a_label(digest_world: DigestWorld) -> None:
    digest_world.reach(email_mode=ChannelMode.ON)
    digest_world.suggest(zone="Asia/Kathmandu", trigger=Trigger.SHARED_ACTIVITY)
    digest_world.digest()
    texts = [digest_world.sms()[0]["body"], digest_world.emails()[0]["text"], digest_world.emails()[0]["html"]]
    for text in texts:
        shown = re.findall(r"\d\d:\d\d(?:-\d\d:\d\d)? ([\w+:]+)", text.replace("at 09:00 (Europe/Berlin)", ""))
        assert set(shown) == {"CET", "UTC+5:45"}
        assert "14:00 UTC" not in text


def test_filters_in_server_time(digest_world: DigestWorld) -> None:
    # Saturday evening for the server, Sunday 09:00 for the user.
    digest_world.when = DigestTime(ZoneInfo("Pacific/Auckland"), DigestDay.SUNDAY, time(9))
    digest_world.suggest()
    digest_world.now = slot = datetime.fromisoformat("2026-11-28T20:00:00+00:00")
    assert digest_world.digest(slot=slot).summary.outcome is Outcome.DONE
    assert [row.due_date for row in digest_world.digest_rows()] == [date(2026, 11, 29)]


def test_counts_invented(digest_world: DigestWorld) -> None:
    digest_world.reach(email_mode=ChannelMode.ON)
    for number in range(3):
        digest_world.suggest(f"Friend {number}")
    digest_world.twilio.control.add_fault(kind="create", status=400, code=21211)
    counts = digest_world.digest().summary.counts
    assert counts == {Count.DIGEST_ITEMS: 3, Count.EMAILS_SENT: 1, Count.DELIVERIES_FAILED: 1}
    assert (len(digest_world.sms()), len(digest_world.emails())) == (0, 1)


def test_failed_reported_where_there_was_merely_no_address(digest_world: DigestWorld) -> None:
    digest_world.reach(phone=None, email=None)
    digest_world.suggest()
    report = digest_world.digest()
    assert (report.exit_code, report.summary.outcome, report.summary.reason) == (
        ExitCode.DONE,
        Outcome.SKIPPED,
        Reason.NO_CHANNEL,
    )
    assert digest_world.statuses() == {"sms": "skipped(no_address)", "email": "skipped(no_address)"}


def test_schedules_stale_after_a_preference_change(digest_world: DigestWorld) -> None:
    digest_world.when = None
    digest_world.set_user(digest_day=DigestDay.TUESDAY, digest_time=time(18))
    digest_world.suggest(hours=100)
    assert digest_world.digest().summary.reason is Reason.NOT_DUE
    digest_world.now = slot = DUE + timedelta(days=2, hours=9)
    assert digest_world.digest(slot=slot).summary.outcome is Outcome.DONE
