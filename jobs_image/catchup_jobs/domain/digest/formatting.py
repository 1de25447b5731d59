"""The English words for times, ways to meet and names, which SMS and email share."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from catchup_contract.digest_rule import DigestDay, DigestTime
from catchup_contract.local_time import is_time_zone
from catchup_jobs.domain.digest.items import MAX_NAME, DigestItem
from catchup_jobs.domain.text import clean

# `strftime` would follow the process's locale.
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
# The request to connect again, before where to do it.
RECONNECT: Final = "Google no longer lets CatchUp read your calendar; to get new suggestions, connect it again"
_MODES: Final = {"in_person": "meet", "call": "call", "either": "meet or call"}


def zone_name(at: datetime, zone: ZoneInfo) -> str:
    """Return the zone's short name at an instant: `CET`, or `UTC+5:45` where the zone has only numbers."""
    name = at.astimezone(zone).tzname() or "UTC"
    if name[0] not in "+-":
        return name
    hours, minutes = int(name[1:3]), name[3:5]
    return f"UTC{name[0]}{hours}{f':{minutes}' if minutes not in ('', '00') else ''}"


def contact_name(item: DigestItem, limit: int = MAX_NAME) -> str:
    """Return the contact's name on one line, or `a contact` if no character of the name can be shown."""
    return clean(item.contact, limit) or "a contact"


def mode_words(item: DigestItem) -> str:
    """Return how to meet: `meet`, `call`, or `meet or call`."""
    return _MODES.get(item.mode, _MODES["either"])


def short_time(item: DigestItem, zone: ZoneInfo) -> str:
    """Return the proposed time for an SMS: `Sun 29 Nov 14:00 CET`, with `(08:00 EST there)` where that differs."""
    local = item.start_at.astimezone(zone)
    text = f"{_short_day(local)} {local:%H:%M} {zone_name(local, zone)}"
    other = _other_zone(item, zone)
    if other is None:
        return text
    there = item.start_at.astimezone(other)
    day = "" if there.date() == local.date() else f"{_short_day(there)} "
    return f"{text} ({day}{there:%H:%M} {zone_name(there, other)} there)"


def long_time(item: DigestItem, zone: ZoneInfo) -> str:
    """Return the proposed time for an email: `Sunday 29 November, 14:00-15:00 CET`."""
    start, end = item.start_at.astimezone(zone), item.end_at.astimezone(zone)
    return f"{_long_day(start)}, {start:%H:%M}-{end:%H:%M} {zone_name(start, zone)}"


def contact_time(item: DigestItem, zone: ZoneInfo) -> str | None:
    """Return the same time on the contact's clock, `08:00 EST for Bob`; None where it is the same or not known."""
    other = _other_zone(item, zone)
    if other is None:
        return None
    here, there = item.start_at.astimezone(zone), item.start_at.astimezone(other)
    day = "" if there.date() == here.date() else f"{_long_day(there)}, "
    return f"{day}{there:%H:%M} {zone_name(there, other)} for {contact_name(item)}"


def rhythm(when: DigestTime) -> str:
    """Return how often a digest comes: `every Sunday at 09:00 (Europe/Berlin)`, or `every day at …`."""
    day = "day" if when.day is DigestDay.DAILY else when.day.value
    return f"every {day} at {when.at:%H:%M} ({when.zone.key})"


def _other_zone(item: DigestItem, zone: ZoneInfo) -> ZoneInfo | None:
    if item.contact_zone is None or not is_time_zone(item.contact_zone):
        return None
    other = ZoneInfo(item.contact_zone)
    same = item.start_at.astimezone(other).utcoffset() == item.start_at.astimezone(zone).utcoffset()
    return None if same else other


def _short_day(local: datetime) -> str:
    return f"{_DAYS[local.weekday()][:3]} {local.day} {_MONTHS[local.month - 1][:3]}"


def _long_day(local: datetime) -> str:
    return f"{_DAYS[local.weekday()]} {local.day} {_MONTHS[local.month - 1]}"
