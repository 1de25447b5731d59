"""Events of the user's calendar, as planning sees them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from catchup_jobs.domain.calendar.availability import Interval

# The beginning of a location that is not a place.
_ONLINE: Final = re.compile(r"\s*(https?://|www\.|(zoom|meet|teams)\.|online\b|virtual\b)", re.IGNORECASE)

Identity = tuple[int | str, str | datetime, datetime | None]


@dataclass(frozen=True, slots=True)
class EventFacts:
    """A busy event of a selected calendar, as planning sees it.

    Attributes:
        event_id: Google's id of the event, unique in its calendar.
        ical_uid: the same in all calendars that hold a copy of the event.
        all_day: whether it has dates, not hours; the interval covers them in the user's zone.
    """

    calendar_id: int
    event_id: str = field(repr=False)
    when: Interval
    title: str | None = field(default=None, repr=False)
    description: str | None = field(default=None, repr=False)
    location: str | None = field(default=None, repr=False)
    ical_uid: str | None = field(default=None, repr=False)
    all_day: bool = False

    @property
    def identity(self) -> Identity:
        """The same for an event and its copies in other calendars, else different."""
        if self.ical_uid is None:
            return self.calendar_id, self.event_id, None
        return self.ical_uid, self.when.start, self.when.end


def is_online(location: str | None) -> bool:
    """Return whether the location is an address on the web, so that nobody meets in person."""
    return location is not None and _ONLINE.match(location) is not None
