"""Addresses as a user gives them, and the forms in which they are shown and compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from catchup_jobs.domain.digest.channels import Channel
    from catchup_jobs.domain.vocabulary import ChannelMode

_SHOWN_DIGITS: Final = 2


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
