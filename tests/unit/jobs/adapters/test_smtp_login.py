"""Logins by the examples of their RFCs."""

from __future__ import annotations

import base64
import smtplib
from contextlib import suppress
from typing import Any

import pytest

from catchup_jobs.adapters.messaging.smtp_login import log_in
from catchup_jobs.jobs.digest.provider_answers import Unusable


class Server:
    """Stands in for `smtplib.SMTP`: answers commands from a list."""

    def __init__(self, offered: str | None, replies: list[tuple[int, bytes]]) -> None:
        self.esmtp_features = {} if offered is None else {"auth": offered}
        self.replies = replies
        self.said: list[str] = []

    def has_extn(self, name: str) -> bool:
        return name in self.esmtp_features

    def docmd(self, *words: str) -> tuple[int, bytes]:
        self.said.append(" ".join(words))
        return self.replies.pop(0)


def attempt(server: Any, user: str, password: str) -> Any:
    return log_in(server, user, password)


def test_plain_is_that_of_rfc_4616() -> None:
    server = Server("PLAIN", [(235, b"")])
    assert attempt(server, "tim", "tanstaaftanstaaf") is None
    assert server.said == [f"AUTH PLAIN {base64.b64encode(b'%ctim%ctanstaaftanstaaf' % (0, 0)).decode()}"]


def test_cram_md5_is_that_of_rfc_2195() -> None:
    challenge = b"PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+"
    server = Server("CRAM-MD5", [(334, challenge), (235, b"")])
    assert attempt(server, "tim", "tanstaaftanstaaf") is None
    assert server.said == ["AUTH CRAM-MD5", "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"]


def test_login_gives_the_name_and_then_the_password() -> None:
    server = Server("LOGIN", [(334, b"VXNlcm5hbWU6"), (334, b"UGFzc3dvcmQ6"), (235, b"")])
    assert attempt(server, "ada", "p\u00e4ssw\u00f6rd") is None
    assert [base64.b64decode(word).decode() for word in server.said[1:]] == ["ada", "p\u00e4ssw\u00f6rd"]


def test_a_mechanism_that_is_offered_and_refused_is_followed_by_the_next() -> None:
    server = Server("PLAIN LOGIN", [(504, b"5.5.4 no"), (334, b""), (334, b""), (235, b"")])
    assert attempt(server, "ada", "x") is None


@pytest.mark.parametrize("offered", [None, "XOAUTH2", "XOAUTH2 OAUTHBEARER GSSAPI", ""])
def test_a_server_without_a_login_by_password_is_ours_to_mend(offered: str | None) -> None:
    server = Server(offered, [])
    answer = attempt(server, "ada", "x")
    assert isinstance(answer, Unusable)
    assert not answer.perhaps_recipient
    assert server.said == []


@pytest.mark.parametrize("replies", [[(334, b"%%%")], [(334, b"")] * 9])
def test_a_server_that_challenges_without_sense_or_end_cannot_be_used(replies: list[tuple[int, bytes]]) -> None:
    with suppress(smtplib.SMTPException):
        assert attempt(Server("LOGIN", replies), "ada", "x") is not None
