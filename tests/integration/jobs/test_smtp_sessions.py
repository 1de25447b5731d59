"""Sessions with mail servers as they are found: unknown replies, other protocols, TLS on the wrong port."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from integration.jobs.test_message_doubles import letter

from catchup_jobs.adapters.messaging.smtp_email import MailServer, Security, SmtpEmail
from catchup_jobs.jobs.digest.provider_answers import Accepted, Ambiguous, Answer, NotSent, Unusable

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
END = "the end of the message"
USUAL = {"DATA": b"354 go ahead\r\n", "EHLO": b"250 mx.example\r\n"}


def _serve(listener: socket.socket, greeting: bytes, replies: dict[str, bytes], said: list[str]) -> None:
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as lines:
        connection.settimeout(180)
        connection.sendall(greeting)
        for line in lines:
            command = line.split()[0].decode("latin-1").upper() if line.split() else ""
            said.append(command)
            connection.sendall(replies.get(command, USUAL.get(command, b"250 2.0.0 OK\r\n")))
            if command == "DATA":
                for content in lines:
                    if content == b".\r\n":
                        break
                said.append(END)
                connection.sendall(replies.get(END, b"250 2.0.0 OK\r\n"))


@contextmanager
def mail_server(greeting: bytes = b"220 mx.example ESMTP\r\n", **replies: bytes) -> Iterator[tuple[int, list[str]]]:
    """A mail server that is not Python's: its port, and the commands that it got."""
    said: list[str] = []
    scripted = {END if name == "end" else name: reply for name, reply in replies.items()}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(180)
        thread = threading.Thread(target=_quietly, args=(listener, greeting, scripted, said), daemon=True)
        thread.start()
        yield listener.getsockname()[1], said
        thread.join(180)
        assert not thread.is_alive()


def _quietly(listener: socket.socket, greeting: bytes, replies: dict[str, bytes], said: list[str]) -> None:
    try:
        _serve(listener, greeting, replies, said)
    except OSError:
        said.append("cut")


def send(port: int, security: Security = "none") -> Answer:
    server = MailServer("127.0.0.1", port, "digest@example.com", security=security)
    return SmtpEmail(server, now=lambda: NOW, timeout=180, conversation=180).send(letter())


@pytest.mark.parametrize(
    "replies",
    [
        {"end": b"252 2.0.0 queued\r\n"},
        {"end": b"299 fine\r\n"},
        {"end": b"250-queued as\r\n250 123\r\n"},
        {"RCPT": b"252 2.1.5 accepted\r\n"},
        {"MAIL": b"251 2.1.0 go on\r\n"},
        {"DATA": b"355 send it\r\n"},
    ],
)
def test_a_reply_that_is_not_known_is_read_by_its_first_digit_as_rfc_5321_has_it(replies: dict[str, bytes]) -> None:
    with mail_server(**replies) as (port, said):
        assert isinstance(send(port), Accepted)
    assert said.count(END) == 1


@pytest.mark.parametrize("reply", [b"354 again\r\n", b"199 no\r\n", b"2\r\n", b"650 what\r\n"])
def test_a_reply_to_the_message_that_is_none_of_smtp_leaves_it_open_whether_it_went_out(reply: bytes) -> None:
    with mail_server(end=reply) as (port, said):
        assert isinstance(send(port), Ambiguous)
    assert END in said


@pytest.mark.parametrize(
    ("greeting", "kind", "advice"),
    [
        (b"554 5.7.1 client host blocked\r\n", Unusable, "(SMTP 554 5.7.1): check CATCHUP_SMTP_HOST"),
        (b"421 4.3.2 too busy\r\n", NotSent, "SMTP 421 4.3.2"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", NotSent, "no mail server: check CATCHUP_SMTP_HOST and CATCHUP_SMTP_PORT"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", NotSent, "no mail server"),
        (b"* OK IMAP4rev1 ready\r\n", NotSent, "no mail server"),
        (b"+OK POP3 ready\r\n", NotSent, "no mail server"),
    ],
)
def test_a_greeting_that_lets_nobody_in_is_told_with_its_code(greeting: bytes, kind: type, advice: str) -> None:
    with mail_server(greeting) as (port, _):
        answer = send(port)
    assert isinstance(answer, Unusable | NotSent)
    assert isinstance(answer, kind)
    assert advice in answer.why


def test_tls_with_a_server_that_speaks_none_on_that_port_is_a_setting_to_correct() -> None:
    with mail_server() as (port, said):
        answer = send(port, "tls")
    assert isinstance(answer, Unusable)
    assert "CATCHUP_SMTP_SECURITY" in answer.why
    assert "MAIL" not in said
