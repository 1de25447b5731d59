"""The email as bytes, whatever people wrote: RFC 5322's lines, RFC 2047's words, RFC 2045's quoted-printable."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.policy import compat32, default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catchup_jobs.adapters.messaging.email_message import compose
from catchup_jobs.domain.digest.addresses import Mailbox, is_email
from catchup_jobs.domain.digest.content import Reconnect
from catchup_jobs.domain.digest.email_text import EmailDigest, Entry
from catchup_jobs.domain.text import clean
from catchup_jobs.jobs.digest.provider_answers import Message

NOW = datetime(2026, 11, 29, 8, tzinfo=UTC)
SENDER = Mailbox("CatchUp", "digest@example.com")
HEADERS = {
    *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"),
    *("List-Unsubscribe", "List-Unsubscribe-Post"),
}
HOSTILE = {
    "a header and a body in an encoded word": "=?utf-8?q?=0D=0A=0D=0A<h1>x.io/login?=",
    "a recipient in an encoded word": "=?utf-8?q?a=0D=0ABcc:evil=40x.de?=",
    "one in base64": "=?utf-8?b?DQpCY2M6IGV2aWxAeC5kZQ==?=",
    "one in UTF-7": "=?utf-7?q?+AA0ACg-Bcc:x?=",
    "one of a charset nobody knows": "=?no-such?q?abc?=",
    "half of one": "=?utf-8?q?abc",
    "line breaks": "Ben\r\nBcc: evil@x.de\r\n\r\nHello",
    "other line breaks": "Ben\x85Bcc: a\u2028Bcc: b\x0bBcc: c\x1cBcc: d",
    "specials": 'Ben "the, best" <b@x.de>; (c) \\',
    "letters of two bytes": "ü" * 40,
    "letters of three": "山" * 40,
    "letters of four": "😀" * 40,
    "a family": "👨\u200d👩\u200d👧\u200d👦" * 8,
    "marks": "नहीं" * 10,
    "one long word": "x" * 300,
    "a dot": ".",
}


@pytest.mark.parametrize("url", [None, "https://app.example.com/settings?tab=calendar&a=b"])
def test_a_request_to_connect_again_is_in_text_and_html_beside_people_and_alone(url: str | None) -> None:
    people = (Entry("Ben", "Monday", None, "Meet", ""),)
    for entries in ((), people):
        digest = EmailDigest("Ada", entries, "every Sunday at 09:00 (Europe/Berlin)", reconnect=Reconnect(url))
        written = compose(Message("ada@example.com", "ada 2026-11-29", digest), sender=SENDER, now=NOW)
        for kind in ("plain", "html"):
            body = written.get_body((kind,))
            assert body is not None
            text = " ".join(body.get_content().split())
            assert "Google no longer lets CatchUp read your calendar; to get new suggestions, connect it again" in text
            where = url or "connect it again in CatchUp."
            assert (html.escape(where) if kind == "html" else where) in text
            assert ("Ben" in text) is bool(entries)


def message(name: str, *, url: str = "https://app.example.com/u") -> tuple[bytes, EmailDigest]:
    entries = tuple(Entry(clean(name, 60), "Monday", None, "Meet", clean(name, 300)) for _ in range(3))
    digest = EmailDigest(clean(name, 60), entries, "every Sunday at 09:00 (Europe/Berlin)", unsubscribe=url)
    return compose(Message("ada@example.com", "ada 2026-11-29", digest), sender=SENDER, now=NOW).as_bytes(), digest


def check(raw: bytes, digest: EmailDigest) -> None:
    read, old = message_from_bytes(raw, policy=default), message_from_bytes(raw, policy=compat32)
    assert set(read.keys()) == HEADERS
    assert len(read.keys()) == len(HEADERS)
    assert not read.defects
    assert read["Subject"] == digest.subject
    assert str(make_header(decode_header(old["Subject"].replace("\r\n", "")))) == digest.subject
    assert read["To"].addresses[0].addr_spec == "ada@example.com"
    assert read["From"].addresses[0].display_name == "CatchUp"
    plain = read.get_body(("plain",))
    assert plain is not None
    assert plain.get_content().replace("\r\n", "\n") == digest.text()
    head, _, body = raw.partition(b"\r\n\r\n")
    # RFC 2047, 2: with encoded words at most 76; RFC 2045, 6.7: so has every line of quoted-printable.
    assert all(len(line) <= 76 for line in head.split(b"\r\n") if b"=?" in line)
    assert all(len(line) <= 76 for line in body.split(b"\r\n"))
    # Adjacent words without a space between them are not RFC 2047's.
    assert b"?==?" not in raw
    assert not re.search(rb"[^\x20-\x7e\r\n\t]|(?<!\r)\n|\r(?!\n)", raw)


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_people_wrote_is_never_read_as_a_header_and_comes_back_as_it_was(name: str) -> None:
    check(*message(name))


@given(st.text(max_size=80))
def test_any_name_comes_back_as_it_was(name: str) -> None:
    check(*message(name))


@pytest.mark.parametrize(
    ("sender", "name", "address"),
    [
        ("digest@example.com", "", "digest@example.com"),
        ("CatchUp <digest@example.com>", "CatchUp", "digest@example.com"),
        ('"CatchUp, Inc." <digest@example.com>', "CatchUp, Inc.", "digest@example.com"),
        ('"The \\"best\\"" <digest@example.com>', 'The "best"', "digest@example.com"),
        ("CatchUp Inc. <digest@example.com>", "CatchUp Inc.", "digest@example.com"),
        ("Büro für Treffen <digest@example.com>", "Büro für Treffen", "digest@example.com"),
        ("<digest@example.com>", "", "digest@example.com"),
    ],
)
def test_a_sender_is_read_and_written_as_the_same(sender: str, name: str, address: str) -> None:
    mailbox = Mailbox.parse(sender)
    assert (mailbox.name, mailbox.address) == (name, address)
    _, digest = message("Ben")
    raw = compose(Message("ada@example.com", "k", digest), sender=mailbox, now=NOW).as_bytes()
    (read,) = message_from_bytes(raw, policy=default)["From"].addresses
    assert (read.display_name, read.addr_spec) == (name or "CatchUp", address)


@pytest.mark.parametrize(
    "sender",
    [
        "CatchUp, Inc. <digest@example.com>",
        "a@b@x",
        "digest@example.com\nBcc: eve@example.com",
        "digest@example.com, eve@example.com",
        "A <a@example.com>, B <b@example.com>",
        'CatchUp" <digest@example.com>',
        "CatchUp <digest@example.com",
        "CatchUp digest@example.com",
        "digest@localhost",
        "group: digest@example.com;",
        "=?utf-8?q?ada?=@example.com",
        "",
    ],
)
def test_what_is_not_a_sender_is_refused(sender: str) -> None:
    with pytest.raises(ValueError, match=r"name|address"):
        Mailbox.parse(sender)


def test_a_sender_may_have_a_domain_of_other_letters() -> None:
    assert Mailbox.parse("Bücher <digest@bücher.example>") == Mailbox("Bücher", "digest@xn--bcher-kva.example")


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("ada@example.com", True),
        ("ada.l+tag@mail.example.co.uk", True),
        ("!#$%&'*+/=?^_`{|}~-@example.com", True),  # RFC 5322, 3.2.3: atext
        ("ada@xn--bcher-kva.example", True),
        (f"{'a' * 64}@example.com", True),
        (f"{'a' * 65}@example.com", False),  # RFC 5321, 4.5.3.1.1
        (f"a@{'b' * 63}.{'c' * 63}.{'d' * 63}.{'e' * 63}.com", False),
        ("=?utf-8?q?ada?=@example.com", False),  # RFC 2047, 5 (3)
        (".ada@example.com", False),
        ("ada..l@example.com", False),
        ('"ada"@example.com', False),
        ("ada@example", False),
        ("ada@-example.com", False),
        ("ada@[192.0.2.1]", False),
        ("ada@example.com\n", False),
        ("ada @example.com", False),
        ("ada@bücher.example", False),
        ("ada\u202e@example.com", False),
        ("a@b@x.com", False),
        ("", False),
    ],
)
def test_an_address_is_one_that_every_server_takes_and_no_program_decodes(address: str, good: bool) -> None:
    assert is_email(address) is good


@pytest.mark.parametrize(("url", "one_click"), [("https://app.example.com/u", True), ("http://app.local/u", False)])
def test_one_click_is_offered_by_https_only(url: str, one_click: bool) -> None:
    read = message_from_bytes(message("Ben", url=url)[0], policy=default)
    assert read["List-Unsubscribe"] == f"<{url}>"
    # RFC 8058, 3.1
    assert read["List-Unsubscribe-Post"] == ("List-Unsubscribe=One-Click" if one_click else None)
