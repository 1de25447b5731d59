"""Events of the user's calendar, as planning sees them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from catchup_jobs.domain.calendar.availability import Interval

# How a location that is not a place begins, as people and as Google, Outlook and Zoom write it.
_ONLINE: Final = re.compile(
    r"\s*(https?://|www\.|(zoom|meet|teams|whereby)\.|online\b|virtual\b|remote\s*$|zoom\b|skype\b|webex\b|facetime\b"
    r"|google meet\b|meet\s*$|(ms )?teams\s*$|(ms )?teams[ -](meeting|call|besprechung)|.*\bmicrosoft teams\b"
    r"|(phone|telephone|video|call)( ?call| chat)?\s*$)",
    re.IGNORECASE,
)
# Outlook lists rooms and the meeting's service in one location.
_SEPARATOR: Final = re.compile(r"[;\n]")
_CALL_TITLE: Final = re.compile(
    r"\b((zoom|teams|skype|webex|facetime|whatsapp|phone|telephone|video|conference)[ -]?(meeting|call|chat)"
    r"|microsoft teams|google meet)\b",
    re.IGNORECASE,
)
_JOIN_LINK: Final = re.compile(
    r"https://([\w-]+\.)*(zoom\.us|zoomgov\.com|meet\.google\.com|teams\.microsoft\.com|teams\.live\.com|webex\.com"
    r"|whereby\.com|meet\.jit\.si)/",
    re.IGNORECASE,
)
# What Google calls events that somebody made to meet; all others (out of office, focus time, working location,
# birthdays, what it found in Gmail) are the user's own. A kind that is not known is no reason to invite anybody.
_EVENT_TYPES: Final = {None, "default"}

Identity = tuple[int | str, str | datetime, datetime | None]


@dataclass(frozen=True, slots=True)
class EventFacts:
    """A busy event of a selected calendar, as planning sees it.

    Attributes:
        event_id: Google's id of the event, unique in its calendar.
        ical_uid: the same in all calendars that hold a copy of the event.
        all_day: whether it has dates, not hours; the interval covers them in the user's zone.
        event_type: as Google calls it.
        has_conference: whether it has a video or phone conference.
    """

    calendar_id: int
    event_id: str = field(repr=False)
    when: Interval
    title: str | None = field(default=None, repr=False)
    description: str | None = field(default=None, repr=False)
    location: str | None = field(default=None, repr=False)
    ical_uid: str | None = field(default=None, repr=False)
    all_day: bool = False
    event_type: str | None = None
    has_conference: bool = False

    @property
    def identity(self) -> Identity:
        """The same for an event and its copies in other calendars, else different."""
        if self.ical_uid is None:
            return self.calendar_id, self.event_id, None
        return self.ical_uid, self.when.start, self.when.end

    @property
    def is_shareable(self) -> bool:
        """Whether others could join: it has hours, and is of a kind that people make to meet."""
        return not self.all_day and self.event_type in _EVENT_TYPES

    @property
    def is_call(self) -> bool:
        """Whether nobody meets in person: its place is none, or it has no place but a conference."""
        places = [place for place in _SEPARATOR.split(self.location or "") if place.strip()]
        if places:
            return all(_ONLINE.match(place) for place in places)
        if self.has_conference or (self.title is not None and _CALL_TITLE.search(self.title)):
            return True
        return self.description is not None and _JOIN_LINK.search(self.description) is not None
