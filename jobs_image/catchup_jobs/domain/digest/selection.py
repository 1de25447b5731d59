"""What a due date's digest holds: suggestions, and the request to connect the calendar again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from catchup_jobs.domain.digest.items import DigestItem

ASK_AGAIN: Final = timedelta(days=14)
"""How long after a request to connect the calendar again another one may be sent alone."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What a message holds; it is false where there is nothing to send.

    Attributes:
        items: the suggestions, the earliest first.
        reconnect: the message asks the user to connect the calendar again.
    """

    items: tuple[DigestItem, ...] = ()
    reconnect: bool = False

    def __bool__(self) -> bool:
        return bool(self.items) or self.reconnect


def choose(
    pending: Mapping[int, DigestItem],
    due_date: date,
    *,
    must_reconnect: bool,
    last_asked: date | None = None,
    attempted: Selection | None = None,
) -> Selection:
    """Return what a message for a due date holds.

    The request is part of every digest while the user must connect again. Without suggestions it is sent alone, unless
    a message within `ASK_AGAIN` before asked already.

    Args:
        pending: the suggestions that are pending now, by id.
        must_reconnect: the consent ended, or a policy forbids the access; never because a service is down.
        last_asked: the latest other due date whose message asked and was, or may have been, sent.
        attempted: what the first attempt of this due date held, None before it. Somebody may have read that message:
            later attempts and other channels hold the same, without what was answered or moved since.
    """
    if attempted is None:
        items = tuple(pending.values())
        may_ask = bool(items) or last_asked is None or due_date - last_asked >= ASK_AGAIN
        return Selection(items, must_reconnect and may_ask)
    left = tuple(item for item in attempted.items if _is_still(pending.get(item.suggestion_id), item))
    # Not alone where the attempted message named people: they were answered, so that it was read.
    may_ask = attempted.reconnect and (bool(left) or not attempted.items)
    return Selection(left, must_reconnect and may_ask)


def _is_still(pending: DigestItem | None, item: DigestItem) -> bool:
    return pending is not None and pending.start_at == item.start_at
