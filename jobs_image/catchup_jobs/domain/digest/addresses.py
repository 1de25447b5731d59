"""Addresses as a user gives them, and what is shown of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from catchup_jobs.domain.vocabulary import Channel, ChannelMode

_SHOWN_DIGITS: Final = 2


@dataclass(frozen=True, slots=True)
class GivenAddress:
    """One channel of a user in an import.

    Attributes:
        address: a number in E.164, or an email address in lower case.
        consented: what the file says: agreed, taken back, or nothing (None), which changes nothing.
        consented_at: when the user agreed, where the file says so; later than an opt-out, it ends that.
    """

    channel: Channel
    address: str = field(repr=False)
    mode: ChannelMode
    consented: bool | None = None
    consented_at: datetime | None = None


def masked(channel: Channel, address: str) -> str:
    """Return an address so that its owner knows it and nobody else can use it: `+49*******23`, `a***@example.com`."""
    if channel is Channel.EMAIL:
        local, _, domain = address.rpartition("@")
        return f"{local[:1]}***@{domain}"
    head, tail = address[: 1 + _SHOWN_DIGITS], address[-_SHOWN_DIGITS:]
    return f"{head}{'*' * max(len(address) - len(head) - len(tail), 1)}{tail}"


def key_text(channel: Channel, address: str) -> str:
    """Return the form of an address by which consents are kept: one mailbox is one, however it is written."""
    return address.lower() if channel is Channel.EMAIL else address
