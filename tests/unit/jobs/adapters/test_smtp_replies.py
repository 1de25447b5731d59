"""What refusals of mail servers mean. The replies are those of RFCs 3463, 4954, 5321 and 7372 and of common servers."""

from __future__ import annotations

import pytest

from catchup_jobs.adapters.messaging.smtp_replies import Stage, meaning
from catchup_jobs.jobs.digest.provider_answers import NotSent, Refused, Unusable

LATER, MAILBOX, OURS, UNCLEAR = "later", "mailbox", "ours", "unclear"


def verdict(reply: str, stage: Stage) -> str:
    code, _, text = reply.partition(" ")
    match meaning(int(code), text.encode(), stage):
        case NotSent():
            return LATER
        case Refused(shown):
            assert code in shown
            return MAILBOX
        case Unusable(why, shown, perhaps_recipient):
            assert shown is not None
            assert code in shown
            assert "CATCHUP_SMTP_" in why
            return UNCLEAR if perhaps_recipient else OURS
        case other:
            raise AssertionError(other)


@pytest.mark.parametrize(
    ("reply", "stage", "expected"),
    [
        # Whatever is 4xx (RFC 5321, 4.2.1)
        ("421 4.3.2 closing down", Stage.SENDER, LATER),
        ("450 4.2.0 greylisted", Stage.RECIPIENT, LATER),
        ("451 4.7.1 try again", Stage.CONTENT, LATER),
        ("454 4.7.0 temporary authentication failure", Stage.LOGIN, LATER),
        ("-1 nonsense", Stage.RECIPIENT, LATER),
        # Block lists, as Postfix, Exim, qmail's rblsmtpd, Outlook and Barracuda word them, with and without a code
        ("550 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", Stage.RECIPIENT, UNCLEAR),
        ("554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using x", Stage.RECIPIENT, UNCLEAR),
        ("550 rejected because 192.0.2.1 is in a black list at zen.spamhaus.org", Stage.RECIPIENT, UNCLEAR),
        ("553 http://www.spamhaus.org/query/bl?ip=192.0.2.1", Stage.RECIPIENT, UNCLEAR),
        (
            "550 SC-001 Unfortunately, messages from 192.0.2.1 weren't sent: we are on our block list",
            Stage.CONTENT,
            UNCLEAR,
        ),
        ("550 5.7.606 Access denied, banned sending IP [192.0.2.1]", Stage.RECIPIENT, OURS),
        ("550 5.7.649 Access denied, banned sending IP [192.0.2.1]", Stage.RECIPIENT, OURS),
        ("550 5.7.511 Access denied, banned sender", Stage.RECIPIENT, OURS),
        ("550 5.7.705 Access denied, tenant has exceeded threshold", Stage.CONTENT, OURS),
        ("550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP", Stage.CONTENT, OURS),
        ("550 5.7.515 Access denied, sending domain doesn't meet the level", Stage.CONTENT, OURS),
        ("550 5.1.1 unknown: not in our blocklist of users", Stage.RECIPIENT, MAILBOX),
        # RFC 4954, 6
        ("535 5.7.8 Authentication credentials invalid", Stage.LOGIN, OURS),
        ("534 5.7.9 Authentication mechanism is too weak", Stage.LOGIN, OURS),
        ("538 5.7.11 Encryption required", Stage.LOGIN, OURS),
        ("530 5.7.0 Authentication required", Stage.SENDER, OURS),
        ("530 5.7.0 Must issue a STARTTLS command first", Stage.RECIPIENT, OURS),
        ("504 5.5.4 Unrecognized authentication type", Stage.LOGIN, OURS),
        ("550 5.7.57 Client not authenticated to send mail", Stage.CONTENT, OURS),  # Exchange Online
        # Everything that is permanent at MAIL
        ("550 5.7.1 Sender not allowed", Stage.SENDER, OURS),
        ("553 5.7.1 Sender address rejected: not owned by user", Stage.SENDER, OURS),  # Postfix
        ("553 5.1.8 Domain of sender address does not exist", Stage.SENDER, OURS),  # sendmail
        ("501 5.1.7 Bad sender address syntax", Stage.SENDER, OURS),
        ("555 5.5.4 Unsupported option", Stage.SENDER, OURS),
        # About the sender, said later (RFC 3463, 3.2)
        ("550 5.1.7 Bad sender's mailbox address syntax", Stage.RECIPIENT, OURS),
        ("550 5.1.8 Bad sender's system address", Stage.RECIPIENT, OURS),
        # Relays
        ("554 5.7.1 <ada@example.com>: Relay access denied", Stage.RECIPIENT, OURS),  # Postfix
        ("550 relay not permitted", Stage.RECIPIENT, OURS),  # Exim
        ("550 5.7.1 Unable to relay", Stage.RECIPIENT, OURS),  # Exchange
        ("550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", Stage.RECIPIENT, OURS),
        ("550 5.7.1 ada@example.com... Relaying denied", Stage.RECIPIENT, OURS),  # sendmail
        ("553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", Stage.RECIPIENT, OURS),  # qmail
        ("550 5.7.64 TenantAttribution; Relay Access Denied", Stage.RECIPIENT, OURS),
        # Quotas
        ("550 5.4.5 Daily user sending quota exceeded", Stage.CONTENT, LATER),  # Gmail
        ("550 5.4.5 Daily user sending quota exceeded", Stage.SENDER, LATER),
        ("550 5.4.5 Daily user sending quota exceeded", Stage.RECIPIENT, LATER),
        ("550 5.7.28 Mail flood", Stage.CONTENT, LATER),  # IANA's registry
        # RFC 7372: SPF, DKIM, DMARC and reverse DNS
        ("550 5.7.26 Multiple authentication checks failed", Stage.CONTENT, OURS),
        ("550-5.7.26 This mail has been blocked because the sender is unauthenticated.", Stage.CONTENT, OURS),
        ("550 5.7.23 SPF validation failed", Stage.RECIPIENT, OURS),
        ("550 5.7.20 No passing DKIM signature found", Stage.CONTENT, OURS),
        ("550 5.7.25 Reverse DNS validation failed", Stage.RECIPIENT, OURS),
        # Mailboxes (RFC 3463, 3.2 and 3.3)
        ("550 5.1.1 User unknown", Stage.RECIPIENT, MAILBOX),
        ("550 5.1.1 <a@b.c>: User unknown in relay recipient table", Stage.RECIPIENT, MAILBOX),  # Postfix
        ("550 5.1.0 Address rejected", Stage.CONTENT, MAILBOX),
        ("550 5.1.2 Bad destination system", Stage.RECIPIENT, MAILBOX),
        ("551 5.1.6 Mailbox has moved", Stage.RECIPIENT, MAILBOX),
        ("556 5.1.10 Recipient address has null MX", Stage.RECIPIENT, MAILBOX),  # RFC 7505
        ("550 5.2.1 Mailbox disabled", Stage.RECIPIENT, MAILBOX),
        ("552 5.2.2 Mailbox full", Stage.CONTENT, MAILBOX),
        ("550 5.7.17 Mailbox owner has changed", Stage.RECIPIENT, MAILBOX),  # RFC 7293
        ("550 No such user here", Stage.RECIPIENT, MAILBOX),
        ("551 User not local", Stage.RECIPIENT, MAILBOX),
        ("553 Mailbox name not allowed", Stage.RECIPIENT, MAILBOX),
        # It may be this recipient or all of them
        ("550 5.7.1 Message refused", Stage.RECIPIENT, UNCLEAR),
        ("550 5.7.1 Blocked by the recipient's policy", Stage.CONTENT, UNCLEAR),
        ("554 5.7.9 Message not accepted for policy reasons", Stage.CONTENT, UNCLEAR),  # Yahoo
        ("550 5.7.133 Sender not authenticated for group", Stage.CONTENT, UNCLEAR),  # Exchange Online
        ("550 5.4.1 Recipient address rejected: Access denied", Stage.RECIPIENT, UNCLEAR),  # Exchange Online
        ("554 5.6.0 Invalid message content", Stage.CONTENT, UNCLEAR),
        ("554 Transaction failed", Stage.CONTENT, UNCLEAR),
        ("554 5.3.0 rejected", Stage.RECIPIENT, UNCLEAR),
        ("503 5.5.1 Bad sequence of commands", Stage.CONTENT, UNCLEAR),
        ("550 \u00e9\u00e9", Stage.CONTENT, UNCLEAR),
    ],
)
def test_a_refusal_is_ours_the_mailboxs_or_the_moments(reply: str, stage: Stage, expected: str) -> None:
    assert verdict(reply.replace("-", " ", 1) if reply.startswith("550-") else reply, stage) == expected


@pytest.mark.parametrize(
    ("reply", "stage", "setting"),
    [
        # RFC 5321, 3.1: the greeting of a server that takes no mail
        ("554 5.7.1 Client host blocked using zen.spamhaus.org", Stage.GREETING, "CATCHUP_SMTP_HOST"),
        ("554 No SMTP service here", Stage.GREETING, "CATCHUP_SMTP_HOST"),
        # What `smtplib` makes of a greeting that is not SMTP's, such as SSH's
        ("-1 SSH-2.0-OpenSSH_9.2", Stage.GREETING, "CATCHUP_SMTP_PORT"),
        # RFC 3207, 4: 501 is permanent, 454 is not
        ("501 5.5.4 Syntax error (no parameters allowed)", Stage.TLS, "CATCHUP_SMTP_SECURITY"),
        ("454 4.7.0 TLS not available due to temporary reason", Stage.TLS, "454 4.7.0"),
        # RFC 3207, 4; RFC 4954, 6; IANA's registry of enhanced status codes
        ("530 5.7.0 Must issue a STARTTLS command first", Stage.SENDER, "CATCHUP_SMTP_SECURITY"),
        ("538 5.7.11 Encryption required for requested authentication mechanism", Stage.LOGIN, "CATCHUP_SMTP_SECURITY"),
        ("523 5.7.10 Encryption Needed", Stage.LOGIN, "CATCHUP_SMTP_SECURITY"),
        ("530 5.7.0 Authentication required", Stage.SENDER, "CATCHUP_SMTP_USERNAME"),
        # RFC 1870, 6.1
        ("552 message size exceeds fixed maximum message size", Stage.SENDER, "its limit"),
        ("552 5.3.4 Message size exceeds fixed limit", Stage.SENDER, "its limit"),  # Postfix
    ],
)
def test_a_refusal_names_what_to_correct(reply: str, stage: Stage, setting: str) -> None:
    code, _, text = reply.partition(" ")
    answer = meaning(int(code), text.encode(), stage)
    assert isinstance(answer, Unusable | NotSent)
    assert setting in answer.why


@pytest.mark.parametrize(
    ("code", "stage", "does"), [(530, Stage.SENDER, "wants a login"), (535, Stage.LOGIN, "refused")]
)
def test_a_login_that_is_missing_is_not_called_refused(code: int, stage: Stage, does: str) -> None:
    """RFC 4954, section 6."""
    answer = meaning(code, b"5.7.0 Authentication required", stage)
    assert isinstance(answer, Unusable)
    assert does in answer.why


def test_a_server_that_is_too_busy_to_greet_is_asked_later() -> None:
    assert verdict("421 4.3.2 Service not available", Stage.GREETING) == LATER


def test_a_refusal_repeats_no_word_of_the_server() -> None:
    answer = meaning(550, b"5.7.1 <ada@example.com> refused", Stage.RECIPIENT)
    assert "ada" not in repr(answer)
