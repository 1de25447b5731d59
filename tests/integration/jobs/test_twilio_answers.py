"""Answers of another shape than Twilio's own: whatever comes is one of the few outcomes, and never an empty one."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from integration.jobs.digest_world import DUE, DigestWorld

from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_dev.doubles.twilio.messages import ACCOUNT_SID, AUTH_TOKEN, SENDER
from catchup_jobs.adapters.messaging.twilio_sms import TwilioAccount, TwilioSms
from catchup_jobs.jobs.digest.provider_answers import Accepted, Ambiguous, Message, NotSent, Refused, Unusable
from catchup_jobs.jobs.run.errors import MisconfiguredError, TemporaryError

if TYPE_CHECKING:
    from catchup_dev.doubles.twilio.server import TwilioServer

NOW = datetime(2026, 11, 29, 8, tzinfo=UTC)
TO = "+447700900123"
HTML = "<html><body>no</body></html>"
DEEP = "[" * 100_000 + "]" * 100_000
GOOD: dict[str, Any] = {
    "sid": "SM" + "0" * 32,
    "status": "queued",
    "body": "Hello #K7Q2P9",
    "to": TO,
    "date_created": None,
}


def gateway(twilio: TwilioServer, **account: Any) -> TwilioSms:
    values: dict[str, Any] = {"sid": ACCOUNT_SID, "token": AUTH_TOKEN, "sender": SENDER, "base_url": twilio.url}
    return TwilioSms(TwilioAccount(**(values | account)), now=lambda: NOW)


def named(bodies: dict[str, str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("body", bodies.values(), ids=bodies.keys())


def sent(twilio: TwilioServer) -> str:
    answer = gateway(twilio).send(Message(TO, "", "x"))
    assert isinstance(answer, Accepted)
    return answer.provider_id or ""


def fired(twilio: TwilioServer, fault: int) -> bool:
    return bool(twilio.control.faults()[fault - 1]["fired"])


SHAPES = {
    "a list": "[]",
    "null": "null",
    "text": '"x"',
    "a number": "5",
    "too deep": DEEP,
    "nothing": "",
    "HTML": HTML,
    "empty": "{}",
    "half": '{"sid": "SM0',
}
MESSAGES: dict[str, dict[str, Any]] = {
    "no status": {"status": None},
    "a status that is a number": {"status": 5},
    "a status that is a list": {"status": ["queued"]},
    "no id": {"sid": None},
    "an id that is a number": {"sid": 5},
    "an id that is a path": {"sid": "../../Accounts"},
    "a date that is a number": {"date_created": 5},
    "a date beyond the calendar": {"date_created": "Mon, 29 Nov 99999 99:99:99 +0000"},
}


ODD_LISTS: list[Any] = [None, 5, "x", {}, [None], [5], [[]]]
ODD_PAGES: list[Any] = [5, "http://[::1", "https://example.com/x"]


@named({**SHAPES, **{name: json.dumps(GOOD | odd) for name, odd in MESSAGES.items()}})
def test_an_odd_answer_to_a_message_means_that_it_may_have_been_sent(twilio: TwilioServer, body: str) -> None:
    fault = twilio.control.add_fault(kind="create", body=body)
    assert isinstance(gateway(twilio).send(Message(TO, "", "x")), Ambiguous)
    assert fired(twilio, fault)


@named(
    {
        **SHAPES,
        **{f"messages: {odd}": json.dumps({"messages": odd}) for odd in ODD_LISTS},
        **{name: json.dumps({"messages": [GOOD | odd]}) for name, odd in MESSAGES.items()},
        **{f"next page: {odd}": json.dumps({"messages": [], "next_page_uri": odd}) for odd in ODD_PAGES},
    }
)
def test_an_odd_list_is_temporary_or_lists_nothing(twilio: TwilioServer, body: str) -> None:
    fault = twilio.control.add_fault(kind="list", body=body, times=None)
    with suppress(TemporaryError):
        assert gateway(twilio).find(TO, code="K7Q2P9", since=NOW) is None
    assert fired(twilio, fault)


def test_a_list_without_end_is_read_for_a_few_pages_only(twilio: TwilioServer) -> None:
    page = {"messages": [], "next_page_uri": f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json?Page=2"}
    twilio.control.add_fault(kind="list", body=json.dumps(page), times=None)
    assert gateway(twilio).find(TO, code="K7Q2P9", since=NOW) is None
    assert len(twilio.log) < 10


def test_a_second_page_that_is_not_there_does_not_mean_that_there_is_no_account(twilio: TwilioServer) -> None:
    page = {"messages": [], "next_page_uri": f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json?Page=2"}
    twilio.control.add_fault(kind="list", body=json.dumps(page))
    missing = twilio.control.add_fault(kind="list", status=404, code=20404)
    with pytest.raises(TemporaryError):
        gateway(twilio).find(TO, code="K7Q2P9", since=NOW)
    assert fired(twilio, missing)


@named({**SHAPES, **{name: json.dumps(GOOD | odd) for name, odd in MESSAGES.items()}})
def test_an_odd_answer_about_a_message_is_temporary(twilio: TwilioServer, body: str) -> None:
    sid = sent(twilio)
    fault = twilio.control.add_fault(kind="fetch", body=body)
    with pytest.raises(TemporaryError):
        gateway(twilio).fetch_status(sid)
    assert fired(twilio, fault)


@pytest.mark.parametrize("code", ["a text", "21610x", True, -1, 10**40])
def test_an_error_code_that_is_none_does_not_hide_that_the_message_failed(twilio: TwilioServer, code: object) -> None:
    sid = sent(twilio)
    twilio.control.add_fault(kind="fetch", body=json.dumps(GOOD | {"status": "failed", "error_code": code}))
    found = gateway(twilio).fetch_status(sid)
    assert isinstance(found, Refused)
    assert not found.opted_out


# RFC 9110, 15.5, and what proxies and firewalls send beside it.
@pytest.mark.parametrize("status", [400, 402, 405, 406, 407, 408, 409, 410, 413, 421, 422, 423, 425, 426, 431, 451])
@pytest.mark.parametrize("body", [HTML, "", "[]", "null", '{"error": "x"}', '{"code": "21610"}', '{"code": 7}'])
def test_a_middleboxs_4xx_is_not_twilios_word(twilio: TwilioServer, status: int, body: str) -> None:
    fault = twilio.control.add_fault(kind="create", status=status, body=body)
    answer = gateway(twilio).send(Message(TO, "", "x"))
    assert isinstance(answer, NotSent | Unusable)
    assert fired(twilio, fault)


# https://www.twilio.com/docs/api/errors: what each of the codes blames.
OUR_SENDER = [10001, 20005, 21212, 21267, 21401, 21601, 21603, 21606, 21607, 21616, 21657, 21659, 21660, 21661, 21703]
OUR_SENDER += [572002, 10002, 20001, 20003, 20006, 20008, 20409]
# "Enable the region", "upgrade your account", "sender restrictions in the destination country".
PERHAPS_OURS = [21408, 21608, 21612, 572005]
THE_RECIPIENT = [21211, 21265, 21266, 21610, 21614, 21635]
# "Slow down", "wait until the next day": nothing was created.
TOO_MANY = [14107, 20429, 21611, 60728, 63017, 63038]


@pytest.mark.parametrize("code", [*OUR_SENDER, *PERHAPS_OURS, *THE_RECIPIENT])
def test_a_400_blames_our_sender_or_the_recipient_as_twilios_list_of_errors_has_it(
    twilio: TwilioServer, code: int
) -> None:
    fault = twilio.control.add_fault(kind="create", status=400, body=json.dumps({"code": code, "status": 400}))
    answer = gateway(twilio).send(Message(TO, "", "x"))
    assert fired(twilio, fault)
    assert isinstance(answer, Refused if code in THE_RECIPIENT else Unusable)
    assert answer.code == str(code)
    assert getattr(answer, "perhaps_recipient", False) is (code in PERHAPS_OURS)


@pytest.mark.parametrize("status", [400, 429])
@pytest.mark.parametrize("code", TOO_MANY)
def test_a_limit_is_temporary_whatever_its_status(twilio: TwilioServer, code: int, status: int) -> None:
    fault = twilio.control.add_fault(kind="create", status=status, body=json.dumps({"code": code, "status": status}))
    assert isinstance(gateway(twilio).send(Message(TO, "", "x")), NotSent)
    assert fired(twilio, fault)


@pytest.mark.parametrize("body", [HTML, "", "{}", '{"code": 404}'])
def test_a_404_that_is_not_twilios_does_not_say_that_a_message_is_gone(twilio: TwilioServer, body: str) -> None:
    sid = sent(twilio)
    fault = twilio.control.add_fault(kind="fetch", status=404, body=body)
    with pytest.raises(MisconfiguredError):
        gateway(twilio).fetch_status(sid)
    assert fired(twilio, fault)
    twilio.control.add_fault(kind="fetch", status=404, code=20404)
    assert gateway(twilio).fetch_status(sid) is None


def test_an_error_by_rfc_9457_is_read_by_the_status_of_http(twilio: TwilioServer) -> None:
    problem = {"type": "about:blank", "title": "x", "status": 200, "code": 21211}
    twilio.control.add_fault(kind="create", status=400, body=json.dumps(problem))
    assert gateway(twilio).send(Message(TO, "", "x")) == Refused("21211")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        ("9" * 30, 86400),
        ("9" * 5000, 86400),
        ("Sun, 29 Nov 2026 08:01:00 GMT", 60),
        ("Sun Nov 29 08:01:00 2026", 60),  # RFC 9110, 5.6.7: asctime's form
        ("Sunday, 29-Nov-26 08:01:00 GMT", 60),  # and RFC 850's
        ("Sun, 29 Nov 99999999999 08:01:00 GMT", None),
        ("-5", None),
        ("soon", None),
        ("\u00b2", None),
        ("", None),
    ],
)
def test_a_wait_is_read_in_every_form_and_an_odd_one_is_none(
    twilio: TwilioServer, text: str, seconds: float | None
) -> None:
    twilio.control.add_fault(kind="create", status=429, code=20429, retry_after=text)
    answer = gateway(twilio).send(Message(TO, "", "x"))
    assert isinstance(answer, NotSent)
    assert answer.wait_seconds == seconds


@pytest.mark.parametrize("account", [{"token": "\u2603"}, {"sid": "\u2603"}])
def test_what_cannot_be_asked_is_ours_and_certainly_not_sent(twilio: TwilioServer, account: dict[str, Any]) -> None:
    assert isinstance(gateway(twilio, **account).send(Message(TO, "", "x")), Unusable)
    with pytest.raises(MisconfiguredError):
        gateway(twilio, **account).find(TO, code="K7Q2P9", since=NOW)
    assert twilio.log == []


# In the job -------------------------------------------------------------------------------------------------------


@named(SHAPES | {"no status": json.dumps(GOOD | {"status": None}), "a text": json.dumps(GOOD | {"error_code": "x"})})
def test_the_look_up_of_last_weeks_message_never_blocks_todays(digest_world: DigestWorld, body: str) -> None:
    digest_world.suggest(hours=300)
    digest_world.digest()
    digest_world.now += timedelta(days=7)
    fault = digest_world.twilio.control.add_fault(kind="fetch", body=body, times=None)
    report = digest_world.digest(slot=DUE + timedelta(days=7))
    assert (report.exit_code, report.summary.outcome) == (ExitCode.DONE, Outcome.DONE)
    assert fired(digest_world.twilio, fault)
    assert len(digest_world.sms()) == 2


def test_an_sms_that_a_proxy_refuses_is_tried_again_and_sent_once(digest_world: DigestWorld) -> None:
    digest_world.suggest()
    fault = digest_world.twilio.control.add_fault(kind="create", status=421, body=HTML)
    report = digest_world.digest()
    assert (report.exit_code, report.summary.reason, report.summary.attempts) == (ExitCode.DONE, None, 1)
    assert fired(digest_world.twilio, fault)
    assert len(digest_world.sms()) == 1


def test_an_sms_whose_answer_is_a_list_is_looked_up_and_adopted(digest_world: DigestWorld) -> None:
    digest_world.suggest()
    digest_world.twilio.control.add_fault(kind="create", body="[]")
    assert digest_world.digest().summary.reason is not Reason.CRASHED
    assert digest_world.statuses()["sms"] == "sent"
    assert len(digest_world.sms()) == 1


def test_a_good_list_is_adopted(twilio: TwilioServer) -> None:
    twilio.control.add_fault(kind="list", body=json.dumps({"messages": [GOOD | {"body": None}, GOOD]}))
    assert gateway(twilio).find(TO, code="K7Q2P9", since=NOW) == Accepted(GOOD["sid"], "queued", final=False)
