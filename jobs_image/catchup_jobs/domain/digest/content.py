"""What one digest says, before a channel puts it into words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from catchup_contract.digest_rule import DigestTime
    from catchup_jobs.domain.digest.items import DigestItem


@dataclass(frozen=True, slots=True)
class DigestLinks:
    """Signed URLs by which the user acts without a login.

    Attributes:
        overview: a page with all suggestions of the digest.
        actions: by suggestion id, then by action (`email_text.ACTIONS`).
        unsubscribe: stops the emails.
    """

    overview: str = field(repr=False)
    actions: Mapping[int, Mapping[str, str]] = field(repr=False)
    unsubscribe: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reconnect:
    """The request to connect the calendar again.

    Attributes:
        url: where, None where the installation does not say.
    """

    url: str | None = None


@dataclass(frozen=True, slots=True)
class DigestContent:
    """What a digest says.

    Attributes:
        name: the user's.
        items: the earliest first; empty only where `reconnect` is there.
        when: the time of the digest; its zone is the one in which times are shown.
        code: the delivery's short code, by which a message is found again at the provider.
        links: None in an installation without an action base URL.
        reconnect: None where the calendar is connected.
    """

    name: str = field(repr=False)
    items: tuple[DigestItem, ...]
    when: DigestTime
    code: str
    links: DigestLinks | None = None
    reconnect: Reconnect | None = None
