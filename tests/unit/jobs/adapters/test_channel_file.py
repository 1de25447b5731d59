"""Channels in the import file: what is taken, and what is refused by its field."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from catchup_jobs.adapters.files.user_file import read_users
from catchup_jobs.domain.digest.addresses import GivenAddress
from catchup_jobs.domain.digest.channels import EMAIL, SMS
from catchup_jobs.domain.stored_enums import ChannelMode
from catchup_jobs.jobs.run.errors import PermanentError

PHONE, MAILBOX = "+447700900123", "ada@example.com"
NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
WHEN = datetime(2026, 1, 10, 12, tzinfo=UTC)


def read(channels: Any) -> tuple[GivenAddress, ...] | None:
    document = {"id": "ada", "name": "Ada"} | ({} if channels is None else {"channels": channels})
    found = read_users(json.dumps(document), now=NOW)
    for problems in found.problems.values():
        raise PermanentError("\n".join(problems))
    return found.users[0].channels


@pytest.mark.parametrize(
    ("channels", "given"),
    [
        (None, None),
        ({}, ()),
        ({"sms": {"phone": "+44 7700 900123"}}, (GivenAddress(SMS, PHONE, ChannelMode.ON),)),
        (
            {"sms": {"phone": "+44 (0) 7700-900.123", "mode": "off", "consent": True}},
            (GivenAddress(SMS, PHONE, ChannelMode.OFF, consented=True),),
        ),
        (
            {"sms": {"phone": PHONE, "consentAt": "2026-01-10T13:00:00+01:00"}},
            (GivenAddress(SMS, PHONE, ChannelMode.ON, consented=True, consented_at=WHEN),),
        ),
        (
            {"sms": {"phone": PHONE, "consent": False}},
            (GivenAddress(SMS, PHONE, ChannelMode.ON, consented=False),),
        ),
        ({"email": {"address": MAILBOX}}, (GivenAddress(EMAIL, MAILBOX, ChannelMode.FALLBACK),)),
        (
            {"email": {"address": "Ada.L+x@Example.COM", "mode": "on"}},
            (GivenAddress(EMAIL, "Ada.L+x@example.com", ChannelMode.ON),),
        ),
    ],
)
def test_channels_are_taken_in_one_form(channels: Any, given: tuple[GivenAddress, ...] | None) -> None:
    assert read(channels) == given


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ({"sms": {"phone": "07700 900123"}}, "channels.sms.phone: must be a phone number with its country"),
        ({"sms": {"phone": "+1"}}, "channels.sms.phone: must be a phone number"),
        ({"sms": {"phone": "+44 7700 900123 ext. 5"}}, "channels.sms.phone: must be a phone number"),
        ({"sms": {"phone": "+" + "4" * 60}}, "channels.sms.phone"),
        ({"sms": {}}, "channels.sms.phone: is missing"),
        ({"sms": {"phone": PHONE, "mode": "fallback"}}, "channels.sms.mode"),
        ({"sms": {"phone": PHONE, "consent": "yes"}}, "channels.sms.consent"),
        ({"sms": {"phone": PHONE, "consent": False, "consentAt": "2026-01-10T12:00:00Z"}}, "`consentAt`"),
        ({"sms": {"phone": PHONE, "consentAt": "2026-01-10T12:00:00"}}, "channels.sms.consentAt: must be a date and"),
        ({"sms": {"phone": PHONE, "consentAt": "2026-11-23T08:30:01Z"}}, "channels.sms.consentAt: must not be in the"),
        ({"sms": {"phone": PHONE, "consentAt": "0001-01-01T00:00:00+01:00"}}, "channels.sms.consentAt: must be in the"),
        (
            {"email": {"address": MAILBOX, "consentAt": "2026-11-23T09:30:00.5+01:00"}},
            "channels.email.consentAt: must not be in the future",
        ),
        ({"email": {"address": "ada"}}, "channels.email.address: must be an email address"),
        ({"email": {"address": "ada@localhost"}}, "channels.email.address: must be an email address"),
        ({"email": {"address": "ada@example.com\nBcc: eve@example.com"}}, "channels.email.address"),
        ({"email": {"address": "Ada <ada@example.com>"}}, "channels.email.address"),
        ({"email": {"address": "ada..l@example.com"}}, "channels.email.address"),
        ({"email": {"address": "a" * 65 + "@example.com"}}, "channels.email.address"),
        ({"email": {"address": "ada@" + "a." * 130 + "com"}}, "channels.email.address"),
        ({"email": {"address": MAILBOX, "mode": "sometimes"}}, "channels.email.mode"),
        ({"pager": {}}, "channels.pager: is not a field that is known here"),
        ([], "channels"),
    ],
)
def test_what_is_wrong_is_named_by_its_field_and_never_repeated(channels: Any, message: str) -> None:
    with pytest.raises(PermanentError) as caught:
        read(channels)
    assert message in str(caught.value)
    told = str(caught.value).replace("+44 7700 900123", "").replace("such as ada@example.com", "")
    assert not any(secret in told for secret in ("900123", "eve", "ada@example.com", "aaaa", "4444"))


def test_an_address_does_not_show_in_a_repr() -> None:
    given = read({"sms": {"phone": PHONE}, "email": {"address": MAILBOX}})
    assert PHONE not in repr(given)
    assert MAILBOX not in repr(given)


# Unicode's conformance tests of UTS #46 (IdnaTestV2.txt, non-transitional); RFC 5891, 4.2.3; RFC 5893 (bidi rule).
@pytest.mark.parametrize(
    ("domain", "stored"),
    [
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.Example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("faß.de", "xn--fa-hia.de"),
        ("xn--fa-hia.de", "xn--fa-hia.de"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("日本語。\uff2a\uff30", "xn--wgv71a119e.jp"),
        ("βόλος.com", "xn--nxasmm1c.com"),
        ("☃.net", None),  # disallowed by IDNA 2008
        ("a_ü.example", None),
        ("-ü.example", None),
        ("ü--cd.-e", None),
        ("à\u05d0.example", None),
        ("a..ü", None),
        (f"{'ü' * 60}.example", None),
        ("b\uff20ü.example", None),
        ("ü.example\n", None),
    ],
)
def test_a_domain_of_other_letters_is_stored_in_the_form_that_every_server_takes(
    domain: str, stored: str | None
) -> None:
    if stored is None:
        with pytest.raises(PermanentError, match="IDNA 2008"):
            read({"email": {"address": f"ada@{domain}"}})
        return
    (given,) = read({"email": {"address": f"ada@{domain}"}}) or ()
    assert given.address == f"ada@{stored}"


def test_letters_before_the_at_sign_that_not_every_server_takes_are_refused() -> None:
    with pytest.raises(PermanentError, match="plain letters before the @"):
        read({"email": {"address": "jörg@example.com"}})  # RFC 6531 is an extension
