"""Twilio's and SMTP's clients against their doubles, and the doubles as programs of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from integration.services import free_port

from catchup_dev.doubles.smtp import server as smtp_server
from catchup_dev.doubles.twilio.messages import ACCOUNT_SID, AUTH_TOKEN, SENDER
from catchup_jobs.adapters.messaging.smtp_email import MailServer, SmtpEmail
from catchup_jobs.adapters.messaging.twilio_sms import TwilioAccount, TwilioSms
from catchup_jobs.domain.digest.email_text import EmailDigest, Entry
from catchup_jobs.jobs.digest.provider_answers import Accepted, Ambiguous, Message, NotSent, Refused, Unusable
from catchup_jobs.jobs.run.errors import MisconfiguredError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from catchup_dev.doubles.smtp.server import SmtpDouble
    from catchup_dev.doubles.twilio.server import TwilioServer

TO = "+447700900123"
NOW = datetime(2026, 11, 29, 8, tzinfo=UTC)
ROOT = Path(__file__).parents[3]


def gateway(twilio: TwilioServer | None, **changes: Any) -> TwilioSms:
    values = {"sid": ACCOUNT_SID, "token": AUTH_TOKEN, "sender": SENDER, "base_url": twilio.url if twilio else None}
    return TwilioSms(TwilioAccount(**(values | changes)), now=lambda: NOW)


def test_a_message_is_accepted_looked_at_and_found_by_its_code(twilio: TwilioServer) -> None:
    sms = gateway(twilio)
    sent = sms.send(Message(TO, "", "hello #K7Q2P9 STOP to end"))
    assert isinstance(sent, Accepted)
    assert (sent.status, sent.final) == ("queued", False)
    assert sms.fetch_status(sent.provider_id or "") == Accepted(sent.provider_id, "delivered", final=True)
    since = datetime.now(UTC) - timedelta(minutes=1)
    assert sms.find(TO, code="K7Q2P9", since=since) == Accepted(sent.provider_id, "delivered", final=True)
    assert sms.find(TO, code="OTHER2", since=since) is None
    assert sms.find("+447700900456", code="K7Q2P9", since=since) is None
    assert sms.find(TO, code="K7Q2P9", since=since + timedelta(hours=1)) is None
    assert sms.fetch_status("SM" + "0" * 32) is None


@pytest.mark.parametrize(("to", "text", "code"), [("+1", "x", 21211), (TO, "", 21602), (TO, "x" * 1601, 21617)])
def test_the_double_refuses_what_twilio_refuses(twilio: TwilioServer, to: str, text: str, code: int) -> None:
    assert gateway(twilio).send(Message(to, "", text)) == Refused(str(code))


@pytest.mark.parametrize(
    "changes", [{"token": "wrong"}, {"sid": "AC" + "1" * 32}, {"sender": "+15550100009"}, {"sender": None}]
)
def test_wrong_credentials_account_or_sender_are_our_fault(twilio: TwilioServer, changes: dict[str, Any]) -> None:
    assert isinstance(gateway(twilio, **changes).send(Message(TO, "", "x")), Unusable)


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("30", 30.0),
        (format_datetime(NOW + timedelta(seconds=90)), 90.0),
        (format_datetime(NOW - timedelta(seconds=90)), 0.0),
        ("864000", 86400.0),
        ("soon", None),
        (None, None),
    ],
)
def test_a_429_names_its_wait_in_seconds_or_as_a_date(
    twilio: TwilioServer, retry_after: str | None, seconds: float | None
) -> None:
    twilio.control.add_fault(kind="create", status=429, code=20429, retry_after=retry_after)
    answer = gateway(twilio).send(Message(TO, "", "x"))
    assert isinstance(answer, NotSent)
    assert answer.wait_seconds == seconds


@pytest.mark.parametrize(
    ("status", "kind"), [(302, Unusable), (409, Refused), (422, Refused), (500, Ambiguous), (502, Ambiguous)]
)
def test_an_answer_is_judged_by_its_status(twilio: TwilioServer, status: int, kind: type) -> None:
    twilio.control.add_fault(kind="create", status=status, code=99999)
    assert isinstance(gateway(twilio).send(Message(TO, "", "x")), kind)


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_no_connection_and_no_name_are_certainly_not_sent(host: str) -> None:
    answer = gateway(None, base_url=f"http://{host}:{free_port()}").send(Message(TO, "", "x"))
    assert isinstance(answer, NotSent)
    assert TO not in answer.why


def test_a_certificate_that_cannot_be_verified_is_our_fault_and_nothing_was_sent() -> None:
    with smtp_server.running(tls=True) as stranger:
        assert isinstance(
            gateway(None, base_url=f"https://localhost:{stranger.port}").send(Message(TO, "", "x")), Unusable
        )


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 401, "code": 20003}, MisconfiguredError),
        ({"status": 404, "code": 20404}, MisconfiguredError),
        ({"status": 429, "code": 20429}, TemporaryError),
        ({"status": 503}, TemporaryError),
        ({"drop": True}, TemporaryError),
        ({"body": "<html>"}, TemporaryError),
    ],
    ids=str,
)
def test_a_look_up_that_fails_says_whose_fault_it_is(
    twilio: TwilioServer, fault: dict[str, Any], error: type[Exception]
) -> None:
    twilio.control.add_fault(kind="list", **fault)
    with pytest.raises(error) as caught:
        gateway(twilio).find(TO, code="K7Q2P9", since=NOW)
    assert TO not in str(caught.value)


@contextmanager
def program(*arguments: str) -> Iterator[str]:
    """Run a double as a program of its own until the block ends; yield its first line."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("dev", "contract", "jobs_image")),
        },
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline()
    finally:
        process.terminate()
        process.communicate(timeout=120)
    assert process.returncode == 0


def test_twilios_double_runs_as_a_program_and_fills_an_outbox(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with program("catchup_dev.doubles.twilio", "serve", "--port", str(port), "--outbox", str(tmp_path)) as line:
        assert url in line
        assert isinstance(gateway(None, base_url=url).send(Message(TO, "", "hello")), Accepted)
        called = subprocess.run(
            [sys.executable, "-m", "catchup_dev.doubles.twilio", "--url", url, "call", "messages", f"to={TO}"],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("dev", "contract", "jobs_image")),
            },
            capture_output=True,
            text=True,
            check=True,
        )
    (message,) = json.loads(called.stdout)
    (written,) = tmp_path.glob("*.sms.json")
    assert message["body"] == json.loads(written.read_text())["body"] == "hello"


def letter() -> Message[EmailDigest]:
    entries = (Entry("Ben", "Monday 30 November, 15:00-16:00 CET", None, "Call", "it has been long"),)
    return Message("ada@example.com", "ada 2026-11-29", EmailDigest("Ada", entries, "every Sunday at 09:00 (Etc/UTC)"))


def test_the_mail_servers_double_runs_as_a_program_and_fills_an_outbox(tmp_path: Path) -> None:
    port, control, ca_file = free_port(), free_port(), tmp_path / "smtp.crt"
    ports = ("--port", str(port), "--control-port", str(control))
    with program(
        "catchup_dev.doubles.smtp", "serve", *ports, "--outbox", str(tmp_path), "--ca-file", str(ca_file)
    ) as line:
        assert str(port) in line
        server = MailServer(
            "localhost", port, "digest@example.com", username="catchup", password="double", ca_file=str(ca_file)
        )
        assert isinstance(SmtpEmail(server, now=lambda: NOW).send(letter()), Accepted)
    (written,) = tmp_path.glob("*.eml")
    assert b"Subject: Catch up with Ben" in written.read_bytes()


def test_a_message_id_depends_on_the_user_and_the_date_alone_and_shows_neither(mail: SmtpDouble) -> None:
    server = MailServer(
        "localhost",
        mail.port,
        "CatchUp <digest@example.com>",
        username="catchup",
        password="double",
        ca_file=str(mail.ca_file),
    )
    ids = []
    for day in (0, 0, 7):
        sent = SmtpEmail(server, now=lambda: NOW).send(
            Message("ada@example.com", f"ada {NOW + timedelta(days=day):%Y-%m-%d}", letter().content)
        )
        assert isinstance(sent, Accepted)
        ids.append(sent.provider_id)
    assert ids[0] == ids[1] != ids[2]
    assert all(str(each).endswith(".digest@example.com>") and "2026" not in str(each) for each in ids)
    assert [dict(message["headers"])["Message-ID"] for message in mail.control.messages()] == ids
