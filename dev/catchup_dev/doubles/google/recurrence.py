"""Recurring events as instances, the way `singleEvents=true` shows them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from dateutil.rrule import rruleset, rrulestr

if TYPE_CHECKING:
    from collections.abc import Iterator

Resource = dict[str, Any]

# An endless series is delivered some years ahead when it is touched.
MAX_INSTANCES = 500


def starts(resource: Resource) -> datetime:
    """Return the instant at which an event starts; an all-day one at midnight UTC."""
    return _instant(resource["start"])


def ends(resource: Resource) -> datetime:
    """Return the instant at which an event ends (exclusive)."""
    return _instant(resource["end"])


def instances(master: Resource) -> Iterator[Resource]:
    """Yield the instances of a recurring event, with overrides applied; cancelled ones are left out.

    `recurrence` holds RRULE and EXDATE lines as Google stores them; `_overrides` maps an instance id to the fields
    that differ (the double's own addition, never shown to a client).
    """
    all_day = "date" in master["start"]
    zone = ZoneInfo(master["start"].get("timeZone", "UTC"))
    first = _wall(master["start"], zone)
    length = _wall(master["end"], zone) - first
    rules = rruleset()
    for line in master["recurrence"]:
        if line.startswith("RRULE:"):
            rules.rrule(rrulestr(_naive_until(line, zone), dtstart=first))
        elif line.startswith("EXDATE"):
            rules.exdate(datetime.fromisoformat(line.partition(":")[2]).replace(tzinfo=None))
    for count, wall in enumerate(rules):
        if count >= MAX_INSTANCES:
            return
        instance = _instance(master, wall, length, zone, all_day=all_day)
        override = master.get("_overrides", {}).get(instance["id"], {})
        if override.get("status") != "cancelled":
            yield instance | override


def _instance(master: Resource, wall: datetime, length: timedelta, zone: ZoneInfo, *, all_day: bool) -> Resource:
    start, end = _when(wall, zone, all_day=all_day), _when(wall + length, zone, all_day=all_day)
    suffix = f"{wall:%Y%m%d}" if all_day else f"{wall.replace(tzinfo=zone).astimezone(UTC):%Y%m%dT%H%M%SZ}"
    shown = {name: value for name, value in master.items() if name not in {"recurrence", "_overrides"}}
    return shown | {
        "id": f"{master['id']}_{suffix}",
        "recurringEventId": master["id"],
        "originalStartTime": start,
        "start": start,
        "end": end,
    }


def _when(wall: datetime, zone: ZoneInfo, *, all_day: bool) -> dict[str, str]:
    if all_day:
        return {"date": wall.date().isoformat()}
    return {"dateTime": wall.replace(tzinfo=zone).isoformat(), "timeZone": zone.key}


def _wall(when: dict[str, str], zone: ZoneInfo) -> datetime:
    if "date" in when:
        return datetime.fromisoformat(when["date"])
    return datetime.fromisoformat(when["dateTime"]).astimezone(zone).replace(tzinfo=None)


def _instant(when: dict[str, str]) -> datetime:
    if "date" in when:
        day = date.fromisoformat(when["date"])
        return datetime(day.year, day.month, day.day, tzinfo=UTC)
    return datetime.fromisoformat(when["dateTime"]).astimezone(UTC)


def _naive_until(rule: str, zone: ZoneInfo) -> str:
    """Return the rule with a UTC UNTIL as wall time, since the expansion runs on the calendar's wall clock."""
    found = re.search(r"UNTIL=(\d{8}T\d{6})Z", rule)
    if found is None:
        return rule
    until = datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).astimezone(zone)
    return rule.replace(found[0], f"UNTIL={until:%Y%m%dT%H%M%S}")
