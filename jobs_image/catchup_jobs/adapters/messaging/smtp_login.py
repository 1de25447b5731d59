"""Logging in at a mail server, in UTF-8: `smtplib` encodes names and passwords as ASCII."""

from __future__ import annotations

import base64
import binascii
import hmac
import smtplib
from collections.abc import Callable
from typing import Final

from catchup_jobs.adapters.messaging.smtp_replies import Stage, meaning
from catchup_jobs.domain.text import clean
from catchup_jobs.jobs.digest.provider_answers import Answer, Unusable

_CHALLENGE: Final = 334
# 503: we are logged in already.
_LOGGED_IN: Final = frozenset({235, 503})
_MOST_CHALLENGES: Final = 3
_SHOWN: Final = 80

Responses = Callable[[bytes, int], bytes]
"""Returns the response to a challenge, given its number from 0."""


def _cram_md5(user: bytes, password: bytes) -> Responses:
    # RFC 2195: the server begins, and the password stays here.
    return lambda challenge, _: user + b" " + hmac.new(password, challenge, "md5").hexdigest().encode()


def _plain(user: bytes, password: bytes) -> Responses:
    # RFC 4616
    return lambda _challenge, _number: b"\0" + user + b"\0" + password


def _login(user: bytes, password: bytes) -> Responses:
    return lambda _challenge, number: user if number == 0 else password


# In the order in which they are tried.
_MECHANISMS: Final = {"CRAM-MD5": _cram_md5, "PLAIN": _plain, "LOGIN": _login}


def log_in(smtp: smtplib.SMTP, username: str, password: str) -> Answer | None:
    """Log in; return None, or why the server does not let us.

    Some servers offer a mechanism that they refuse: all that are offered are tried.

    Raises:
        smtplib.SMTPException, OSError: the server cannot be used.
    """
    if not smtp.has_extn("auth"):
        return Unusable(
            "the mail server supports no login: unset CATCHUP_SMTP_USERNAME, or check CATCHUP_SMTP_SECURITY"
        )
    offered = smtp.esmtp_features["auth"].upper().split()
    answer: Answer | None = Unusable(
        f"the mail server offers no login by name and password ({clean(' '.join(offered), _SHOWN)}): CatchUp speaks"
        f" {', '.join(_MECHANISMS)}"
    )
    for mechanism, responses in _MECHANISMS.items():
        if mechanism in offered:
            code, text = _try(smtp, mechanism, responses(username.encode(), password.encode()))
            if code in _LOGGED_IN:
                return None
            answer = meaning(code, text, Stage.LOGIN)
    return answer


def _try(smtp: smtplib.SMTP, mechanism: str, response: Responses) -> tuple[int, bytes]:
    if mechanism == "PLAIN":
        code, text = smtp.docmd("AUTH", f"PLAIN {_encoded(response(b'', 0))}")
    else:
        code, text = smtp.docmd("AUTH", mechanism)
    for number in range(_MOST_CHALLENGES):
        if code != _CHALLENGE:
            break
        try:
            challenge = base64.b64decode(text.strip(), validate=True)
        except binascii.Error:
            raise smtplib.SMTPException("a challenge is not base64") from None
        code, text = smtp.docmd(_encoded(response(challenge, number)))
    return code, text


def _encoded(response: bytes) -> str:
    return base64.b64encode(response).decode()
