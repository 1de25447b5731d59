"""What a mail server's refusal means: is it ours, this mailbox's, or the moment's?

The enhanced status code (RFC 3463, RFC 5248's registry, RFC 7372) decides where a server sends one, else the reply code
(RFC 5321) at its stage. Before the recipient is named, a refusal can only concern us.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from catchup_jobs.jobs.digest.provider_answers import Answer, NotSent, Refused, Unusable

PERMANENT: Final = 500
# RFC 4954: authentication required, refused, or too weak. 538: encryption required for it.
_AUTHENTICATION: Final = frozenset({530, 534, 535, 538})
# RFC 4954, 6: to a command other than AUTH.
_LOGIN_FIRST_CODE: Final = 530
# RFC 4954 and RFC 5248's registry: the server wants TLS first.
_ENCRYPTION: Final = frozenset({"5.7.10", "5.7.11"})
_ENCRYPTION_CODE: Final = 538
# RFC 3207, 4, words it so and gives it the code of a missing login.
_STARTTLS_FIRST: Final = re.compile(r"STARTTLS", re.IGNORECASE)
# RFC 1870, 6.1, and RFC 3463, X.3.4: the message is larger than the server takes.
_TOO_LARGE: Final = "5.3.4"
_TOO_LARGE_CODE: Final = 552
# Bad credentials, account disabled, not authenticated (RFC 4954, RFC 5248; 57 and 60 are Exchange's).
_OUR_LOGIN: Final = frozenset({"5.7.8", "5.7.13", "5.7.57"})
# The message failed SPF, DKIM, DMARC or reverse DNS (RFC 7372), the sender's domain takes no mail (RFC 7505), or we may
# not send as this address (Exchange); 509 and 515 are Outlook's for
# DMARC.
_OUR_DOMAIN: Final = frozenset(
    {*(f"5.7.{detail}" for detail in range(20, 28)), "5.7.29", "5.7.60", "5.7.509", "5.7.515"}
)
# Exchange's for a sender, a tenant or an address of ours that is banned.
_OUR_REPUTATION: Final = frozenset({"5.7.511", "5.7.705", "5.7.708", *(f"5.7.{detail}" for detail in range(606, 650))})
# What Postfix, Exim, qmail and Outlook say where our address is on a block list, often without an enhanced code.
_BLOCK_LIST: Final = re.compile(
    r"\b(black|block|deny) ?-?list|\bblocked using\b|\b(dns|r)bl\b|\bspamhaus\b|\bbanned\b|\bpoor reputation\b",
    re.IGNORECASE,
)
# Congestion, which Gmail uses for the day's quota; a flood of mail; Outlook's limit of recipients.
_OUR_QUOTA: Final = frozenset({"5.4.5", "5.7.28", "5.1.90"})
# X.1.7 to X.1.9 are about the sender's address.
_OUR_ADDRESS: Final = frozenset({"5.1.7", "5.1.8", "5.1.9"})
# X.1: the mailbox's address. X.2.0 to X.2.4: its state. X.7.17 and X.7.18: it has another owner (RFC 7293).
_MAILBOX: Final = re.compile(r"5\.(1\.\d+|2\.[0-4]|7\.1[78])")
# RFC 5321, 4.2.3: the mailbox is unavailable, not here, full, or not allowed. RFC 7504: the domain takes no mail.
_MAILBOX_CODES: Final = frozenset({550, 551, 552, 553, 556})
# "Relay access denied", "relaying denied", "not in my list of allowed rcpthosts": we are not a client of this server.
_RELAY: Final = re.compile(r"\brelay(ing)?\b|rcpthosts", re.IGNORECASE)
# At the beginning, or as qmail writes it: `(#5.7.1)`.
_ENHANCED: Final = re.compile(r"(?:^\s*|#)([245]\.\d{1,3}\.\d{1,3})(?![\d.])")


class Stage(Enum):
    """Where in the session a server refuses."""

    GREETING = "greeting"
    TLS = "tls"
    LOGIN = "login"
    SENDER = "sender"
    RECIPIENT = "recipient"
    CONTENT = "content"


def meaning(code: int, text: bytes, stage: Stage) -> Answer:
    """Return what a reply that is not a success means for the message.

    Args:
        code: the reply code; negative where the reply was not one of SMTP.
        text: what follows it.
    """
    words = text.decode("ascii", "replace")
    match = _ENHANCED.search(words)
    enhanced = match[1] if match else ""
    shown = f"{code} {enhanced}".strip()

    def ours(why: str, *, perhaps_recipient: bool = False) -> Unusable:
        return Unusable(f"the mail server {why.format(shown=f'(SMTP {shown})')}", shown, perhaps_recipient)

    is_greeting = stage is Stage.GREETING
    wants_tls = (
        code == _ENCRYPTION_CODE
        or enhanced in _ENCRYPTION
        or (code in _AUTHENTICATION and _STARTTLS_FIRST.search(words) is not None)
    )
    is_too_large = stage is Stage.SENDER and (code == _TOO_LARGE_CODE or enhanced == _TOO_LARGE)
    wants_login = stage is not Stage.LOGIN and code == _LOGIN_FIRST_CODE
    is_login = stage is Stage.LOGIN or code in _AUTHENTICATION or enhanced in _OUR_LOGIN
    is_sender = stage is Stage.SENDER or enhanced in _OUR_ADDRESS | _OUR_DOMAIN
    is_mailbox = not enhanced and stage is Stage.RECIPIENT and code in _MAILBOX_CODES
    rules: tuple[tuple[bool, Answer], ...] = (
        (
            code < 0 and is_greeting,
            NotSent("what answers is no mail server: check CATCHUP_SMTP_HOST and CATCHUP_SMTP_PORT"),
        ),
        (code < 0, NotSent("the mail server closed the connection")),
        (code < PERMANENT, NotSent(f"the mail server accepts no mail now (SMTP {shown})")),
        (enhanced in _OUR_QUOTA, NotSent(f"the mail server takes no more mail from us for a while (SMTP {shown})")),
        # RFC 5321, 3.1: a server that takes no mail, or none from here.
        (is_greeting, ours("refuses the connection {shown}: check CATCHUP_SMTP_HOST, and whether it blocks us")),
        (stage is Stage.TLS, ours("refuses STARTTLS {shown}: check CATCHUP_SMTP_PORT and CATCHUP_SMTP_SECURITY")),
        (wants_tls, ours("wants encryption first {shown}: set CATCHUP_SMTP_SECURITY to starttls or tls")),
        (wants_login, ours("wants a login first {shown}: set CATCHUP_SMTP_USERNAME and CATCHUP_SMTP_PASSWORD")),
        (is_login, ours("refused our login {shown}: check CATCHUP_SMTP_USERNAME and CATCHUP_SMTP_PASSWORD")),
        (is_too_large, ours("takes no message of this size {shown}: raise its limit, or check CATCHUP_SMTP_HOST")),
        (is_sender, ours("refuses our sender {shown}: check CATCHUP_SMTP_FROM, and its domain's SPF, DKIM and DMARC")),
        (
            enhanced in _OUR_REPUTATION,
            ours("has banned us {shown}: ask its operator, or check CATCHUP_SMTP_HOST and CATCHUP_SMTP_FROM"),
        ),
        (_MAILBOX.fullmatch(enhanced) is not None, Refused(shown)),
        (
            _RELAY.search(words) is not None,
            ours("relays nothing for us {shown}: check CATCHUP_SMTP_HOST and CATCHUP_SMTP_USERNAME"),
        ),
        (
            _BLOCK_LIST.search(words) is not None,
            ours(
                "has us on a block list {shown}: ask its operator, or check CATCHUP_SMTP_HOST", perhaps_recipient=True
            ),
        ),
        (is_mailbox, Refused(shown)),
    )
    unclear = ours("refuses the message {shown}: check CATCHUP_SMTP_* if it refuses others too", perhaps_recipient=True)
    return next((answer for applies, answer in rules if applies), unclear)
