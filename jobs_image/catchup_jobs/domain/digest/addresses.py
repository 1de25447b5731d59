"""Addresses as a user gives them, and the forms in which they are shown and compared."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from datetime import datetime

    from catchup_jobs.domain.digest.channels import Channel
    from catchup_jobs.domain.stored_enums import ChannelMode

_SHOWN_DIGITS: Final = 2
# RFC 5321, 4.5.3.1, and RFC 3696's erratum 1690.
_MAX_EMAIL: Final = 254
_MAX_LOCAL: Final = 64
# What every mail server takes: RFC 5321's dot-string, and a domain of letters (others as `xn--…`, RFC 5890).
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL: Final = re.compile(rf"{_ATOM}(\.{_ATOM})*@({_LABEL}\.)+{_LABEL}")
# RFC 2047, 5 (3): what looks like an encoded word must not be in an address, since programs decode it.
_ENCODED_WORD: Final = re.compile(r"=\?.*\?.*\?.*\?=")
# RFC 5322's specials, which a name holds in quotes only. A dot is allowed by its section 4.1.
_QUOTED_NAME: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_PLAIN_NAME: Final = re.compile(r'[^()<>\[\]:;@\\,"]*')
_NAME_AND_ADDRESS: Final = re.compile("(.*?) *<([^<>]*)>")


@dataclass(frozen=True, slots=True)
class GivenAddress:
    """One channel of a user in an import.

    Attributes:
        address: a number in E.164, or an email address whose domain is in lower case.
        consented: what the file says: given, withdrawn, or nothing (None), which changes nothing.
        consented_at: when the user agreed, if the file says so; a consent later than an opt-out ends the opt-out.
    """

    channel: Channel
    address: str = field(repr=False)
    mode: ChannelMode
    consented: bool | None = None
    consented_at: datetime | None = None


def is_email(text: str) -> bool:
    """Return whether a text is an email address that every mail server takes and no mail program decodes."""
    return (
        len(text) <= _MAX_EMAIL
        and _EMAIL.fullmatch(text) is not None
        and text.index("@") <= _MAX_LOCAL
        and not _ENCODED_WORD.search(text)
    )


def with_ascii_domain(text: str) -> str:
    """Return an email address with an international domain in the form that every mail server takes (`xn--…`).

    By IDNA 2008 (RFC 5891) and the mapping of UTS #46, as mail programs and browsers have it. What has no such form
    stays as it is; `is_email` refuses it.
    """
    local, at, domain = text.rpartition("@")
    if domain.isascii():
        return text
    import idna  # noqa: PLC0415 - 20 ms, for few addresses

    try:
        return local + at + idna.encode(domain, uts46=True, std3_rules=True).decode()
    except idna.IDNAError:
        return text


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An email address with a name, as RFC 5322 writes it: `Name <address>`.

    Attributes:
        name: as it is shown; empty where there is none.
    """

    name: str
    address: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `address`, `Name <address>` or `"Name, with signs" <address>`.

        Raises:
            ValueError: it is none of them.
        """
        match = _NAME_AND_ADDRESS.fullmatch(text.strip())
        name, address = match.groups() if match else ("", text.strip())
        if quoted := _QUOTED_NAME.fullmatch(name):
            name = re.sub(r"\\(.)", r"\1", quoted[1])
        elif not _PLAIN_NAME.fullmatch(name):
            raise ValueError('a name with one of ()<>[]:;@\\," must be in quotes')
        address = with_ascii_domain(address)
        if not is_email(address) or not name.isprintable():
            raise ValueError("not an email address")
        return cls(name, address)

    @property
    def domain(self) -> str:
        """What follows the @."""
        return self.address.rpartition("@")[2]


def mask_number(number: str) -> str:
    """Return a number with most digits hidden: `+49*******23`."""
    head, tail = number[: 1 + _SHOWN_DIGITS], number[-_SHOWN_DIGITS:]
    return f"{head}{'*' * max(len(number) - len(head) - len(tail), 1)}{tail}"


def mask_email(address: str) -> str:
    """Return an email address with its local part hidden: `a***@example.com`."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}***@{domain}"


def fold_case(address: str) -> str:
    """Return an email address in lower case: one mailbox has one form."""
    return address.lower()


def unchanged(address: str) -> str:
    """Return an address that has only one form."""
    return address
