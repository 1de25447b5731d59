"""The providers fail in every way that matters, and pods die: at most one SMS, at least one email, nothing lost."""

from __future__ import annotations

import re
import ssl
import threading
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import redis
from cryptography.fernet import Fernet
from integration.jobs.database_faults import after, outage
from integration.jobs.digest_world import ADA, DATE, DUE, FRIEND, MAILBOX, PHONE, DigestWorld
from integration.services import free_port, wait_until
from sqlalchemy import delete

from catchup_contract.digest_rule import Occurrence
from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_contract.summary import Count
from catchup_dev.doubles.smtp import server as smtp_server
from catchup_jobs.adapters.database.digests.store import DatabaseDigests
from catchup_jobs.adapters.database.people.addresses import DatabaseAddresses
from catchup_jobs.adapters.database.schema import suggestions
from catchup_jobs.adapters.encryption import Encryption
from catchup_jobs.adapters.redis.locks import RedisLocks
from catchup_jobs.domain.digest.channels import EMAIL, SMS
from catchup_jobs.domain.stored_enums import ChannelMode, DeliveryStatus
from catchup_jobs.jobs.digest.due_digest import LEASE
from catchup_jobs.jobs.digest.unsettled import LOOK_UP_SPAN
from catchup_jobs.jobs.run.optional_locks import OptionalLocks
from catchup_jobs.jobs.run.ports import Fence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from catchup_dev.doubles.smtp.server import SmtpDouble
    from catchup_dev.doubles.twilio.server import TwilioServer
    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.jobs.run.endings import Report

SENT = (ExitCode.DONE, Outcome.DONE, None)


def told(report: Report) -> tuple[int, Outcome, Reason | None]:
    return report.exit_code, report.summary.outcome, report.summary.reason


@contextmanager
def twilio_fault(world: DigestWorld, **fields: Any) -> Iterator[None]:
    """Script a fault of Twilio; the test fails if it never fired."""
    fault = world.twilio.control.add_fault(**fields)
    yield
    assert world.twilio.control.faults()[fault - 1]["fired"] > 0, "the fault never fired"


@contextmanager
def mail_fault(world: DigestWorld, **fields: Any) -> Iterator[None]:
    """Script a fault of the mail server; the test fails if it never fired."""
    fault = world.mail.control.add_fault(**fields)
    yield
    assert world.mail.control.faults()[fault - 1]["fired"] > 0, "the fault never fired"


@pytest.fixture
def by_email(digest_world: DigestWorld) -> DigestWorld:
    """The user has no phone."""
    digest_world.reach(phone=None)
    digest_world.suggest()
    return digest_world


@pytest.fixture
def by_sms(digest_world: DigestWorld) -> DigestWorld:
    """The user has no email address."""
    digest_world.reach(email=None)
    digest_world.suggest()
    return digest_world


# Twilio: it may have been sent -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        {"accept_then_drop": True},
        {"truncate": True},
        {"body": "<html>Bad gateway</html>"},
        {"huge": 5 * 2**20},
        {"drip": 0.2},
        {"drip_head": 2},
    ],
    ids=lambda fault: next(iter(fault)),
)
def test_twilio_accepts_and_its_answer_is_lost_the_message_is_looked_up_and_adopted(
    by_sms: DigestWorld, fault: dict[str, Any]
) -> None:
    by_sms.http_timeout = 6
    with twilio_fault(by_sms, kind="create", **fault):
        report = by_sms.digest()
    assert told(report) == SENT
    assert report.summary.counts == {Count.DIGEST_ITEMS: 1, Count.SMS_SENT: 1, Count.DELIVERIES_UNKNOWN: 1}
    assert report.summary.attempts == 0
    (sms,) = by_sms.sms()
    row = by_sms.delivery(SMS)
    assert (row.status, row.provider_id, row.attempts) == (DeliveryStatus.SENT, sms["sid"], 1)


def test_a_message_that_is_listed_only_after_a_while_is_still_adopted(by_sms: DigestWorld) -> None:
    with (
        twilio_fault(by_sms, kind="create", accept_then_drop=True),
        twilio_fault(by_sms, kind="list", empty=True, times=3),
    ):
        assert told(by_sms.digest()) == SENT
    assert len(by_sms.sms()) == 1


@pytest.mark.parametrize("fault", [{"drop": True}, {"status": 500}, {"status": 503}], ids=str)
def test_absent_after_two_minutes_it_stays_unknown_and_no_second_sms_nor_an_email_is_sent(
    digest_world: DigestWorld, fault: dict[str, Any]
) -> None:
    digest_world.suggest()
    with twilio_fault(digest_world, kind="create", **fault):
        report = digest_world.digest()
    assert told(report) == (ExitCode.DONE, Outcome.DONE, Reason.UNCONFIRMED)
    assert sum(digest_world.slept) >= LOOK_UP_SPAN.total_seconds()
    for hours in (1, 3):
        assert told(digest_world.firing(hours)) == (ExitCode.DONE, Outcome.SKIPPED, Reason.UNCONFIRMED)
    assert digest_world.statuses() == {"sms": "unknown", "email": "skipped(not_needed)"}
    assert (digest_world.sms(), digest_world.emails()) == ([], [])
    assert [entry["kind"] for entry in digest_world.twilio.log].count("create") <= 1


def test_a_hanging_twilio_is_given_up_in_time_and_is_unknown(by_sms: DigestWorld) -> None:
    by_sms.http_timeout = 6
    goes_on = threading.Event()
    by_sms.twilio.meanwhile = lambda kind: goes_on.wait(60) if kind == "create" else None
    report = by_sms.digest()
    # The request itself was written: the double carries it out afterwards, when the look-ups have been in vain.
    assert told(report)[2] is Reason.UNCONFIRMED
    goes_on.set()
    wait_until(lambda: len(by_sms.sms()) == 1, "the double carries the request out")
    by_sms.firing(1)
    assert (by_sms.statuses()["sms"], by_sms.delivery(SMS).attempts) == ("sent", 1)
    assert len(by_sms.sms()) == 1


def test_an_unknown_message_that_twilio_lists_later_is_adopted_by_the_next_firing(by_sms: DigestWorld) -> None:
    with (
        twilio_fault(by_sms, kind="create", accept_then_drop=True),
        twilio_fault(by_sms, kind="list", empty=True, times=None),
    ):
        assert told(by_sms.digest())[2] is Reason.UNCONFIRMED
    by_sms.twilio.control.clear_faults()
    by_sms.firing(1)
    assert by_sms.statuses() == {"sms": "sent", "email": "skipped(no_address)"}
    assert len(by_sms.sms()) == 1


def test_a_look_up_that_fails_is_an_attempt_and_never_a_second_sms(by_sms: DigestWorld) -> None:
    with (
        twilio_fault(by_sms, kind="create", accept_then_drop=True),
        twilio_fault(by_sms, kind="list", status=500, times=2),
    ):
        report = by_sms.digest()
    assert told(report) == SENT
    assert report.summary.attempts == 2
    assert len(by_sms.sms()) == 1


def test_the_message_of_another_delivery_is_not_mistaken_for_ours(by_sms: DigestWorld) -> None:
    with twilio_fault(by_sms, kind="create", accept_then_drop=True):
        by_sms.digest(slot=None)
    by_sms.now += timedelta(days=7)
    by_sms.suggest("Cleo", hours=24 * 10)
    with twilio_fault(by_sms, kind="create", drop=True):
        report = by_sms.digest(slot=DUE + timedelta(days=7))
    assert told(report)[2] is Reason.UNCONFIRMED
    assert len(by_sms.sms()) == 1


# Twilio: it was certainly not sent ---------------------------------------------------------------------------------


def test_429_waits_as_asked_books_nothing_and_sends_once(by_sms: DigestWorld) -> None:
    with twilio_fault(by_sms, kind="create", status=429, code=20429, retry_after="7", times=3):
        report = by_sms.digest()
    assert told(report) == SENT
    assert report.summary.attempts == 0
    assert by_sms.slept == [7.5, 7.5, 7.5]
    assert len(by_sms.sms()) == 1


def test_429_without_a_wait_is_an_attempt_of_the_budget(by_sms: DigestWorld) -> None:
    with twilio_fault(by_sms, kind="create", status=429, code=20429):
        report = by_sms.digest()
    assert (told(report), report.summary.attempts) == (SENT, 1)


def test_a_wait_beyond_the_deadline_ends_the_run_as_temporary_with_the_claim_given_back(by_sms: DigestWorld) -> None:
    with twilio_fault(by_sms, kind="create", status=429, code=20429, retry_after="3000", times=None):
        report = by_sms.digest()
    assert told(report) == (ExitCode.TEMPORARY, Outcome.RETRY, Reason.DEADLINE)
    assert by_sms.statuses()["sms"] == "pending"


def test_twilio_refusing_connections_spends_the_budget_and_the_next_firing_is_a_second_chance(
    by_sms: DigestWorld,
) -> None:
    assert by_sms.account is not None
    url, by_sms.account = by_sms.account.base_url, replace(by_sms.account, base_url=f"http://127.0.0.1:{free_port()}")
    report = by_sms.digest()
    assert told(report) == (ExitCode.PERMANENT, Outcome.FAILED, Reason.BUDGET_SPENT)
    assert by_sms.delivery(SMS).attempts == 4
    by_sms.account = replace(by_sms.account, base_url=url)
    assert told(by_sms.firing(1)) == SENT
    assert len(by_sms.sms()) == 1


@pytest.mark.parametrize(
    ("status", "code"), [(401, 20003), (403, 20403), (404, 20404), (400, 21606), (400, 21212), (400, 21703)]
)
def test_our_own_misconfiguration_gives_the_claim_back_with_78_and_loses_nothing(
    digest_world: DigestWorld, status: int, code: int
) -> None:
    suggestion = digest_world.suggest()
    with twilio_fault(digest_world, kind="create", status=status, code=code):
        report = digest_world.digest()
    assert told(report) == (ExitCode.MISCONFIGURED, Outcome.FAILED, Reason.MISCONFIGURED)
    assert digest_world.statuses() == {"sms": f"pending({code})"}
    assert digest_world.suggestion(suggestion).delivered_at is None
    assert told(digest_world.firing(1)) == SENT
    assert len(digest_world.sms()) == 1
    assert digest_world.emails() == []


def test_a_misconfigured_channel_does_not_keep_the_other_from_being_used(digest_world: DigestWorld) -> None:
    digest_world.reach(email_mode=ChannelMode.ON)
    digest_world.suggest()
    with twilio_fault(digest_world, kind="create", status=401, code=20003):
        assert digest_world.digest().exit_code == ExitCode.MISCONFIGURED
    assert len(digest_world.emails()) == 1
    assert told(digest_world.firing(1)) == (ExitCode.DONE, Outcome.DONE, None)
    assert (len(digest_world.sms()), len(digest_world.emails())) == (1, 1)


@pytest.mark.parametrize(
    ("fault", "codes", "status"),
    [
        ({"status": 401, "code": 20003}, [ExitCode.MISCONFIGURED] * 3, "failed(20003)"),
        ({"status": 429, "code": 20429}, [ExitCode.PERMANENT] * 3, "failed(unavailable)"),
        ({"status": 429, "code": 20429, "retry_after": "3000"}, [ExitCode.TEMPORARY] * 3, "failed(unavailable)"),
    ],
    ids=["wrong token", "too many", "too many, with a long wait"],
)
def test_email_stands_in_when_sms_is_down_at_all_of_a_dates_firings(
    digest_world: DigestWorld, fault: dict[str, Any], codes: list[int], status: str
) -> None:
    digest_world.suggest()
    with twilio_fault(digest_world, kind="create", times=None, **fault):
        assert [digest_world.firing(hours).exit_code for hours in (0, 1)] == codes[:2]
        assert digest_world.emails() == []
        assert digest_world.firing(3).exit_code == codes[2]
    assert digest_world.statuses() == {"sms": status, "email": "sent"}
    digest_world.twilio.control.clear_faults()
    digest_world.digest(slot=None)
    assert (len(digest_world.sms()), len(digest_world.emails())) == (0, 1)


def test_without_an_email_address_an_sms_that_was_down_all_day_stays_pending(by_sms: DigestWorld) -> None:
    with twilio_fault(by_sms, kind="create", status=401, code=20003, times=3):
        for hours in (0, 1, 3):
            by_sms.firing(hours)
    assert by_sms.statuses()["sms"] == "pending(20003)"
    assert told(by_sms.digest(slot=None)) == SENT


# Twilio: it never will be ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [21408, 21608, 21612])
def test_a_number_that_our_account_does_not_reach_is_seen_and_given_up_at_the_last_firing(
    digest_world: DigestWorld, code: int
) -> None:
    digest_world.suggest()
    with twilio_fault(digest_world, kind="create", status=400, code=code, times=3):
        for hours in (0, 1):
            assert digest_world.firing(hours).exit_code == ExitCode.MISCONFIGURED
            assert digest_world.statuses()["sms"] == f"pending({code})"
        digest_world.firing(3)
    assert digest_world.statuses() == {"sms": f"failed({code})", "email": "sent"}


@pytest.mark.parametrize("code", [21211, 21614, 21635])
def test_a_permanent_refusal_is_failed_without_a_retry_and_email_stands_in(
    digest_world: DigestWorld, code: int
) -> None:
    digest_world.suggest()
    with twilio_fault(digest_world, kind="create", status=400, code=code, times=None):
        report = digest_world.digest()
    assert told(report) == (ExitCode.DONE, Outcome.DONE, Reason.PARTIAL)
    assert report.summary.counts[Count.DELIVERIES_FAILED] == 1
    assert digest_world.statuses() == {"sms": f"failed({code})", "email": "sent"}
    assert len(digest_world.twilio.log) == 1
    assert digest_world.emails()[0]["recipients"] == [MAILBOX]


def test_21610_is_failed_and_opts_the_number_out(digest_world: DigestWorld) -> None:
    digest_world.suggest(hours=300)
    digest_world.twilio.control.stop(PHONE)
    digest_world.digest()
    assert digest_world.statuses() == {"sms": "failed(21610)", "email": "sent"}
    (consent,) = digest_world.consent_rows()
    assert consent.opted_out_at is not None
    digest_world.now += timedelta(days=7)
    digest_world.digest(slot=DUE + timedelta(days=7))
    assert len(digest_world.twilio.log) == 1  # not even tried


def test_a_refusal_after_the_201_is_found_by_the_next_firing_and_email_follows(digest_world: DigestWorld) -> None:
    digest_world.suggest()
    digest_world.digest()
    assert digest_world.statuses() == {"sms": "sent", "email": "skipped(not_needed)"}
    digest_world.twilio.control.outcome(PHONE, "undelivered", 30003)
    assert told(digest_world.firing(1)) == (ExitCode.DONE, Outcome.DONE, Reason.PARTIAL)
    assert digest_world.statuses() == {"sms": "failed(30003)", "email": "sent"}
    assert FRIEND in digest_world.emails()[0]["text"]
    assert told(digest_world.firing(3))[1:] == (Outcome.SKIPPED, Reason.ALREADY_DONE)
    assert (len(digest_world.sms()), len(digest_world.emails())) == (1, 1)


def test_with_a_messaging_service_a_stop_is_found_after_the_201(digest_world: DigestWorld) -> None:
    assert digest_world.account is not None
    digest_world.account = replace(digest_world.account, sender=None, messaging_service_sid="MG" + "0" * 32)
    digest_world.twilio.control.stop(PHONE)
    digest_world.suggest()
    assert told(digest_world.digest()) == SENT
    digest_world.firing(1)
    assert digest_world.statuses() == {"sms": "failed(21610)", "email": "sent"}
    assert digest_world.consent_rows()[0].opted_out_at is not None


def test_a_delivered_message_is_looked_at_once_more_and_then_left_alone(digest_world: DigestWorld) -> None:
    digest_world.suggest()
    digest_world.digest()
    digest_world.firing(1)
    row = digest_world.delivery(SMS)
    assert (row.status, row.provider_status, row.provider_final) == (DeliveryStatus.SENT, "delivered", True)
    digest_world.firing(3)
    assert [entry["kind"] for entry in digest_world.twilio.log] == ["create", "fetch"]


def test_last_weeks_digest_that_was_not_delivered_is_recorded_and_not_sent_again(digest_world: DigestWorld) -> None:
    digest_world.suggest()
    digest_world.digest()
    digest_world.twilio.control.outcome(PHONE, "undelivered", 30003)
    digest_world.now += timedelta(days=7)
    digest_world.digest(slot=DUE + timedelta(days=7))
    assert digest_world.statuses()["sms"] == "failed(30003)"
    assert digest_world.emails() == []


@pytest.mark.parametrize("sent", [True, False])
def test_last_weeks_message_whose_pods_all_died_is_looked_up_by_this_weeks_digest(
    by_sms: DigestWorld, sent: bool
) -> None:
    with nullcontext() if sent else twilio_fault(by_sms, kind="create", drop=True):
        by_sms.digest_killed_while_it_sends()
    by_sms.now += timedelta(days=7)
    by_sms.suggest(hours=24 * 10)
    assert told(by_sms.digest(slot=DUE + timedelta(days=7))) == SENT
    row = by_sms.delivery(SMS)
    assert row.status is (DeliveryStatus.SENT if sent else DeliveryStatus.UNKNOWN)
    assert len(by_sms.sms()) == 1 + sent


def test_a_follow_up_that_fails_does_not_keep_the_digest_that_is_due(digest_world: DigestWorld) -> None:
    digest_world.suggest(hours=300)
    digest_world.digest()
    digest_world.now += timedelta(days=7)
    with twilio_fault(digest_world, kind="fetch", status=500, times=None):
        assert told(digest_world.digest(slot=DUE + timedelta(days=7))) == SENT
    assert len(digest_world.sms()) == 2


# Keys --------------------------------------------------------------------------------------------------------------


def test_a_wrong_encryption_key_is_78_and_the_right_one_sends(digest_world: DigestWorld) -> None:
    digest_world.suggest()
    right, wrong = digest_world.store, Encryption([Fernet.generate_key().decode()])
    digest_world.store = DatabaseDigests(digest_world.database, DatabaseAddresses(digest_world.database, lambda: wrong))
    assert told(digest_world.digest()) == (ExitCode.MISCONFIGURED, Outcome.FAILED, Reason.MISCONFIGURED)
    assert (digest_world.sms(), digest_world.emails()) == ([], [])
    digest_world.store = right
    assert told(digest_world.firing(1)) == SENT
    assert [sms["to"] for sms in digest_world.sms()] == [PHONE]


# The mail server ---------------------------------------------------------------------------------------------------


def test_smtp_drops_after_the_final_dot_the_email_is_sent_again_under_one_message_id(
    by_email: DigestWorld,
) -> None:
    with mail_fault(by_email, stage="message", accept_then_drop=True):
        report = by_email.digest()
    assert told(report) == SENT
    assert report.summary.attempts == 1
    first, second = ({**dict(email["headers"])} for email in by_email.emails())
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Subject"] == second["Subject"]


def test_an_email_whose_fate_is_never_known_is_given_up_after_four_and_said_so(by_email: DigestWorld) -> None:
    with mail_fault(by_email, stage="message", accept_then_drop=True, times=None):
        report = by_email.digest()
        assert told(report) == (ExitCode.PERMANENT, Outcome.FAILED, Reason.BUDGET_SPENT)
        assert told(by_email.firing(1)) == (ExitCode.DONE, Outcome.SKIPPED, Reason.UNCONFIRMED)
    assert len({dict(email["headers"])["Message-ID"] for email in by_email.emails()}) == 1
    assert len(by_email.emails()) == 4


@pytest.mark.parametrize(
    "later", [{"stage": "mail", "reply": "451 later"}, {"stage": "rcpt", "reply": "550 no such user"}], ids=str
)
def test_an_email_that_may_have_gone_out_does_not_become_unsent_by_a_later_failure(
    by_email: DigestWorld, later: dict[str, Any]
) -> None:
    number = by_email.suggest()
    with (
        mail_fault(by_email, stage="message", accept_then_drop=True),
        mail_fault(by_email, skip=1, times=None, **later),
    ):
        by_email.digest()
    assert by_email.statuses()["email"].partition("(")[0] == "unknown"
    assert len(by_email.emails()) == 1
    assert by_email.suggestion(number).delivered_at is not None, "somebody has read it"


@pytest.mark.parametrize("stage", ["connect", "ehlo", "starttls", "auth", "mail", "rcpt", "data"])
@pytest.mark.parametrize("how", [{"drop": True}, {"reply": "421 4.3.2 closing down"}], ids=["drop", "421"])
def test_before_the_message_was_given_a_failure_is_not_sent_and_tried_again(
    by_email: DigestWorld, stage: str, how: dict[str, Any]
) -> None:
    # The client tries two ways to log in.
    with mail_fault(by_email, stage=stage, times=2 if stage == "auth" and "reply" in how else 1, **how):
        report = by_email.digest()
    assert (told(report), report.summary.attempts) == (SENT, 1)
    assert len(by_email.emails()) == 1


@pytest.mark.parametrize("stage", ["rcpt", "data", "message"])
def test_4xx_is_tried_again_and_5xx_is_permanent(by_email: DigestWorld, stage: str) -> None:
    with mail_fault(by_email, stage=stage, reply="451 4.3.0 later"):
        assert told(by_email.digest()) == SENT
    by_email.now += timedelta(days=7)
    by_email.suggest("Cleo", hours=24 * 8)
    with mail_fault(by_email, stage=stage, reply="550 5.1.1 nobody of that name", times=None):
        report = by_email.digest(slot=DUE + timedelta(days=7))
    assert told(report) == (ExitCode.DONE, Outcome.DONE, Reason.UNDELIVERED)
    assert len(by_email.emails()) == 1


@pytest.mark.parametrize(
    ("stage", "reply"),
    [
        ("auth", "535 5.7.8 bad credentials"),
        ("mail", "530 5.7.0 authentication required"),
        ("mail", "550 5.7.1 you may not send as that"),
        ("rcpt", "530 5.7.0 authentication required"),
    ],
)
def test_a_refused_login_or_sender_is_78_and_gives_the_claim_back(
    by_email: DigestWorld, stage: str, reply: str
) -> None:
    with mail_fault(by_email, stage=stage, reply=reply, times=2 if stage == "auth" else 1):
        report = by_email.digest()
    assert told(report) == (ExitCode.MISCONFIGURED, Outcome.FAILED, Reason.MISCONFIGURED)
    assert by_email.delivery(EMAIL).status is DeliveryStatus.PENDING
    assert told(by_email.firing(1)) == SENT
    assert len(by_email.emails()) == 1


@pytest.mark.parametrize(
    ("stage", "reply"),
    [
        ("rcpt", "554 5.7.1 <ada@example.com>: Relay access denied"),
        ("rcpt", "550 relay not permitted"),
        ("message", "550 5.7.26 unauthenticated sender"),
    ],
)
def test_what_the_server_refuses_everybody_is_78_at_each_firing_and_loses_nothing(
    by_email: DigestWorld, stage: str, reply: str
) -> None:
    with mail_fault(by_email, stage=stage, reply=reply, times=None):
        assert [by_email.firing(hours).exit_code for hours in (0, 1, 3)] == [ExitCode.MISCONFIGURED] * 3
    assert by_email.delivery(EMAIL).status is DeliveryStatus.PENDING
    by_email.mail.control.clear_faults()
    assert told(by_email.digest(slot=None)) == SENT


@pytest.mark.parametrize("stage", ["mail", "rcpt", "message"])
def test_a_days_quota_is_temporary_and_loses_nothing(by_email: DigestWorld, stage: str) -> None:
    with mail_fault(by_email, stage=stage, reply="550 5.4.5 daily sending quota exceeded", times=4):
        assert told(by_email.digest()) == (ExitCode.PERMANENT, Outcome.FAILED, Reason.BUDGET_SPENT)
    assert by_email.delivery(EMAIL).status is DeliveryStatus.PENDING
    assert told(by_email.firing(1)) == SENT


@pytest.mark.parametrize("stage", ["rcpt", "message"])
def test_a_policy_that_may_concern_one_recipient_is_tried_at_each_firing_and_then_failed_for_the_date(
    by_email: DigestWorld, stage: str
) -> None:
    by_email.suggest("Cleo", hours=24 * 8)
    with mail_fault(by_email, stage=stage, reply="550 5.7.1 refused by policy", times=3):
        for hours in (0, 1):
            assert by_email.firing(hours).exit_code == ExitCode.MISCONFIGURED
            assert by_email.statuses() == {"sms": "skipped(no_address)", "email": "pending(550 5.7.1)"}
        assert told(by_email.firing(3)) == (ExitCode.DONE, Outcome.DONE, Reason.UNDELIVERED)
    assert by_email.statuses()["email"] == "failed(550 5.7.1)"
    by_email.now += timedelta(days=7)
    assert told(by_email.digest(slot=DUE + timedelta(days=7))) == SENT


def test_a_password_beyond_ascii_logs_in(by_email: DigestWorld) -> None:
    assert by_email.server is not None
    by_email.mail.control.password = "pässwörd"
    by_email.server = replace(by_email.server, password="pässwörd")
    assert told(by_email.digest()) == SENT
    assert by_email.emails()[0]["login"] == "catchup"


def test_a_server_that_offers_xoauth2_alone_is_78(by_email: DigestWorld) -> None:
    assert by_email.server is not None
    by_email.server = replace(by_email.server, security="none")
    with mail_fault(by_email, stage="ehlo", reply="250-smtp.double\r\n250 AUTH XOAUTH2", times=None):
        assert by_email.digest().exit_code == ExitCode.MISCONFIGURED
    assert "auth" not in by_email.mail.control.stages()


def test_a_wrong_password_is_78(by_email: DigestWorld) -> None:
    assert by_email.server is not None
    by_email.server = replace(by_email.server, password="wrong")
    assert by_email.digest().exit_code == ExitCode.MISCONFIGURED


def test_starttls_stripped_nothing_is_sent_in_the_clear(by_email: DigestWorld) -> None:
    by_email.mail.control.set(starttls=False)
    report = by_email.digest()
    assert told(report) == (ExitCode.MISCONFIGURED, Outcome.FAILED, Reason.MISCONFIGURED)
    assert by_email.emails() == []
    assert set(by_email.mail.control.stages()) == {"connect", "ehlo"}  # neither login nor address went over the wire


def test_a_certificate_of_somebody_else_is_refused(by_email: DigestWorld) -> None:
    assert by_email.server is not None
    by_email.server = replace(by_email.server, ca_file=None)
    assert by_email.digest().exit_code == ExitCode.MISCONFIGURED
    by_email.server = replace(by_email.server, ca_file=str(by_email.mail.ca_file), host="127.1")
    assert by_email.digest().exit_code == ExitCode.MISCONFIGURED
    assert by_email.emails() == []


def test_in_the_clear_only_where_told_so(by_email: DigestWorld) -> None:
    assert by_email.server is not None
    by_email.mail.control.set(starttls=False, auth=False)
    by_email.server = replace(by_email.server, security="none", username=None, password=None)
    assert told(by_email.digest()) == SENT
    assert not by_email.emails()[0]["encrypted"]


def test_tls_from_the_first_byte(by_email: DigestWorld) -> None:
    assert by_email.server is not None
    with smtp_server.running(tls=True) as double:
        by_email.server = replace(by_email.server, security="tls", port=double.port, ca_file=str(double.ca_file))
        assert told(by_email.digest()) == SENT
        assert [message["encrypted"] for message in double.control.messages()] == [True]


def test_a_hanging_mail_server_is_given_up_and_the_claim_given_back(by_email: DigestWorld) -> None:
    by_email.http_timeout = 6
    with mail_fault(by_email, stage="rcpt", delay=60):
        assert told(by_email.digest()) == SENT
    assert len(by_email.emails()) == 1


@pytest.mark.parametrize("stage", ["connect", "rcpt", "message"])
def test_a_dripping_mail_server_is_given_up_however_little_it_says_at_a_time(by_email: DigestWorld, stage: str) -> None:
    by_email.http_timeout = 6
    with mail_fault(by_email, stage=stage, drip=5):
        report = by_email.digest()
    assert (told(report), report.summary.attempts) == (SENT, 1)
    # Once it had the whole message, `25` does not tell whether it took it.
    unknown = stage == "message"
    assert report.summary.counts.get(Count.DELIVERIES_UNKNOWN, 0) == unknown
    assert len(by_email.emails()) == 1 + unknown
    assert len({dict(email["headers"])["Message-ID"] for email in by_email.emails()}) == 1


def test_no_mail_server_at_all_spends_the_budget(by_email: DigestWorld) -> None:
    assert by_email.server is not None
    by_email.server = replace(by_email.server, port=free_port())
    assert told(by_email.digest()) == (ExitCode.PERMANENT, Outcome.FAILED, Reason.BUDGET_SPENT)


def test_a_ca_file_that_cannot_be_read_is_78(by_email: DigestWorld) -> None:
    assert by_email.server is not None
    by_email.server = replace(by_email.server, ca_file="/nowhere.pem")
    assert by_email.digest().exit_code == ExitCode.MISCONFIGURED


# Names ------------------------------------------------------------------------------------------------------------


NASTY = {
    "line breaks": "Ben\r\nBcc: eve@example.com\r\n\r\nHello",
    "html": "<img src=x onerror=alert(1)>\"'&",
    "emoji": "👨‍👩‍👧‍👦 Ben 😀",
    "10 kB": "x" * 10_000,
    "a lone dot": ".\r\n.\r\nQUIT",
    "an encoded word with a body": "=?utf-8?q?=0D=0A=0D=0A<h1>x.io/login?=",
    "an encoded word with a header": "=?utf-8?q?a=0D=0ABcc:evil=40x.de?=",
    "control characters": "Ben\x1b[31m\x9b31m\u202egnp",
}


@pytest.mark.parametrize("name", NASTY.values(), ids=NASTY.keys())
def test_no_name_injects_a_header_or_markup_or_grows_the_sms(digest_world: DigestWorld, name: str) -> None:
    digest_world.base_url = "https://app.example.com/catchup"
    digest_world.reach(email_mode=ChannelMode.ON)
    digest_world.set_user(name=name)
    digest_world.suggest(name, reason=name)
    assert told(digest_world.digest()) == SENT
    (sms,), (email,) = digest_world.sms(), digest_world.emails()
    assert int(sms["num_segments"]) <= 2
    names = [header.lower() for header, _ in email["headers"]]
    assert "bcc" not in names
    assert names.count("subject") == names.count("to") == names.count("from") == 1
    assert email["recipients"] == [MAILBOX]
    assert "<img" not in email["html"]
    assert "<script" not in email["html"]
    assert "Accept" in email["text"]
    assert all(len(line) <= 76 for line in email["raw"].partition("\r\n\r\n")[2].split("\r\n"))
    assert email["text"].startswith("Hello ")
    assert not re.search("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", sms["body"] + email["text"])


def test_an_address_that_cannot_be_written_is_failed_without_asking_the_server(digest_world: DigestWorld) -> None:
    digest_world.reach(phone=None, email="=?utf-8?q?ada?=@example.com")
    digest_world.suggest()
    assert told(digest_world.digest()) == (ExitCode.DONE, Outcome.DONE, Reason.UNDELIVERED)
    assert digest_world.statuses()["email"] == "failed(5.1.3)"
    assert digest_world.mail.control.stages() == []


@pytest.mark.parametrize("sender", ["CatchUp, Inc. <digest@example.com>", "a@b@x"])
def test_a_sender_that_is_no_address_is_78_and_claims_nothing(by_email: DigestWorld, sender: str) -> None:
    assert by_email.server is not None
    right, by_email.server = by_email.server, replace(by_email.server, sender=sender)
    assert by_email.digest().exit_code == ExitCode.MISCONFIGURED
    assert by_email.delivery(EMAIL) is None
    by_email.server = right
    assert told(by_email.firing(1)) == SENT


# Pods die, Redis is down ------------------------------------------------------------------------------------------


def test_a_successor_that_finds_the_fate_unknown_never_sends_a_second_sms_blindly(by_sms: DigestWorld) -> None:
    with (
        twilio_fault(by_sms, kind="create", accept_then_drop=True),
        twilio_fault(by_sms, kind="list", empty=True, times=None),
    ):
        assert told(by_sms.digest())[2] is Reason.UNCONFIRMED
        for hours in (1, 3):
            by_sms.firing(hours)
    assert len(by_sms.sms()) == 1


def test_a_holder_stopped_past_its_lease_while_another_took_over_is_still_one_sms_and_recorded(
    by_sms: DigestWorld,
) -> None:
    others = []
    by_sms.locks = OptionalLocks(RedisLocks.open(f"redis://127.0.0.1:{free_port()}/0"))
    by_sms.now += timedelta(hours=1)
    # Its lock is gone, and the next firing finds the claim, its lease run out, and no message at the provider.
    with by_sms.while_twilio_is_asked(lambda: others.append(told(by_sms.digest(slot=DUE + timedelta(hours=1))))):
        by_sms.digest(pod="pod-1")
    assert others == [(ExitCode.DONE, Outcome.DONE, Reason.UNCONFIRMED)]
    assert by_sms.statuses()["sms"] == "sent"
    assert len(by_sms.sms()) == 1
    assert told(by_sms.firing(3))[2] is Reason.ALREADY_DONE


def test_the_database_itself_gives_no_second_claim_of_a_message_that_is_being_sent(by_sms: DigestWorld) -> None:
    second = list[Any]()

    def claim() -> None:
        second.append(
            by_sms.store.claim(
                ADA,
                Occurrence(DATE, DUE),
                SMS,
                attempt_id="another",
                address_key=None,
                now=by_sms.now,
                lease_until=by_sms.now + LEASE,
                fence=Fence("digest:ada:2026-11-29T08:00:00Z", "pod-1"),
            )
        )

    with by_sms.while_twilio_is_asked(claim):
        assert told(by_sms.digest(pod="pod-1")) == SENT
    assert second == [None]
    assert len(by_sms.sms()) == 1


def test_a_database_that_fails_after_the_send_is_no_second_sms(by_sms: DigestWorld) -> None:
    with outage(by_sms.database) as go_away, by_sms.while_twilio_is_asked(go_away):
        report = by_sms.digest()
    assert (told(report), report.summary.attempts) == (SENT, 1)
    assert len(by_sms.sms()) == 1
    assert sum(by_sms.slept) >= LEASE.total_seconds()


@pytest.fixture
def uncertain(
    commit_fails: tuple[Database, Callable[[], None]], twilio: TwilioServer, mail: SmtpDouble, tmp_path: Path
) -> tuple[DigestWorld, Callable[[], None]]:
    """The user who has no email address, in a database whose commits can be made to fail, or seem to."""
    database, fail = commit_fails
    world = DigestWorld(database, twilio, mail, tmp_path / "locks")
    world.add_user()
    world.reach(email=None)
    world.suggest()
    return world, fail


def test_a_digest_is_one_sms_whatever_happens_to_the_commit_of_its_claim(
    uncertain: tuple[DigestWorld, Callable[[], None]],
) -> None:
    world, fail = uncertain
    with after("UPDATE digests", world.database, fail):
        report = world.digest()
    assert (told(report), report.summary.attempts) == (SENT, 1)
    assert len(world.sms()) == 1
    assert sum(world.slept) < LEASE.total_seconds(), "that it was not sent is known"


def test_a_digest_is_one_sms_whatever_happens_to_the_commit_of_its_record(
    uncertain: tuple[DigestWorld, Callable[[], None]],
) -> None:
    world, fail = uncertain
    with after("provider_id=", world.database, fail):
        report = world.digest()
    assert (told(report), report.summary.attempts) == (SENT, 1)
    assert report.summary.counts[Count.SMS_SENT] == len(world.sms()) == 1
    assert world.delivery(SMS).status is DeliveryStatus.SENT


def test_a_database_that_fails_after_a_429_does_not_make_the_fate_unknown(by_sms: DigestWorld) -> None:
    with (
        twilio_fault(by_sms, kind="create", status=429, code=20429, retry_after="1"),
        outage(by_sms.database) as go_away,
        by_sms.while_twilio_is_asked(go_away),
    ):
        assert told(by_sms.digest()) == SENT
    assert len(by_sms.sms()) == 1
    assert sum(by_sms.slept) < LEASE.total_seconds()


def test_words_that_cannot_be_written_give_the_claim_back(by_sms: DigestWorld) -> None:
    # It begins so late that the user's clock, an hour ahead, has no name for it.
    late = datetime.max.replace(tzinfo=UTC)
    number = by_sms.suggest(start_at=late - timedelta(minutes=1), end_at=late)
    assert told(by_sms.digest())[2] is Reason.CRASHED
    assert by_sms.statuses()["sms"] == "pending"
    with by_sms.database.write() as connection:
        connection.execute(delete(suggestions).where(suggestions.c.id == number))
    assert told(by_sms.digest()) == SENT


def test_redis_down_a_digest_goes_on_by_its_database_claim_alone(by_sms: DigestWorld) -> None:
    by_sms.locks = OptionalLocks(RedisLocks.open(f"redis://127.0.0.1:{free_port()}/0"))
    assert told(by_sms.digest()) == SENT
    assert told(by_sms.digest())[2] is Reason.ALREADY_DONE
    assert len(by_sms.sms()) == 1


def test_redis_down_failures_are_counted_by_the_runs_row_and_the_budget_holds(by_sms: DigestWorld) -> None:
    assert by_sms.account is not None
    by_sms.account = replace(by_sms.account, base_url=f"http://127.0.0.1:{free_port()}")
    by_sms.locks = OptionalLocks(RedisLocks.open(f"redis://127.0.0.1:{free_port()}/0"))
    report = by_sms.digest()
    assert told(report) == (ExitCode.PERMANENT, Outcome.FAILED, Reason.BUDGET_SPENT)
    assert report.summary.attempts == 4


def test_redis_emptied_between_two_firings_is_no_second_sms(by_sms: DigestWorld, redis_url: str) -> None:
    by_sms.locks = OptionalLocks(RedisLocks.open(redis_url))
    with redis.Redis.from_url(redis_url) as client:
        assert told(by_sms.digest()) == SENT
        client.flushall()
    by_sms.firing(1)
    assert len(by_sms.sms()) == 1


def test_redis_emptied_while_an_sms_is_sent_and_another_pod_that_gets_the_lock_is_no_second_sms(
    by_sms: DigestWorld, redis_url: str
) -> None:
    by_sms.locks = OptionalLocks(RedisLocks.open(redis_url))
    others = []

    def lose_the_lock() -> None:
        with redis.Redis.from_url(redis_url) as client:
            assert client.delete("catchup:lock:digest:ada") == 1
            client.flushall()
        others.append(told(by_sms.digest(pod="pod-2")))

    with by_sms.while_twilio_is_asked(lose_the_lock):
        by_sms.digest(pod="pod-1")
    assert others == [(ExitCode.DONE, Outcome.DONE, Reason.UNCONFIRMED)], "it waited in vain for the first one's"
    assert len(by_sms.sms()) == 1
    by_sms.firing(1)
    assert (by_sms.statuses()["sms"], len(by_sms.sms())) == ("sent", 1)


def test_the_double_speaks_tls_that_python_verifies(by_email: DigestWorld) -> None:
    context = ssl.create_default_context(cafile=by_email.mail.ca_file)
    assert context.verify_mode is ssl.CERT_REQUIRED
