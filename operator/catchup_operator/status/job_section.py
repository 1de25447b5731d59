"""The section of a kind of job in the status: its timetable and its CronJob. Printer columns show fields of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice, pairwise
from typing import Any, Final
from zoneinfo import ZoneInfo

from catchup_contract.cadence import MISSED_SYNCS
from catchup_contract.kinds import DIGEST, Kind, user_kinds
from catchup_contract.timestamps import format_utc, parse_utc
from catchup_operator.schedule.user_schedule import UserSchedule
from catchup_operator.status.ready import SUSPENDED

DISABLED: Final = "Disabled"
SUSPENDED_UNTIL: Final = "suspendedUntil"
CRONJOB_FIELDS: Final = ("cronJobName", "cronJobUID", "cronJobGeneration", "schedule", "timeZone", "fingerprint")

# After `MISSED_SYNCS` due times without a run a sync counts as missing, so that the status must hold as many.
_NEXT_RUNS: Final = max(3, MISSED_SYNCS)
"""Next runs in a status."""


def section_of(body: Mapping[str, Any], kind: Kind) -> Mapping[str, Any]:
    """Return the section of a kind in the status of a UserSchedule; empty where there is none."""
    return (body.get("status") or {}).get(user_kinds()[kind].status_section) or {}


def cronjob_fields(manifest: Mapping[str, Any], fingerprint: str | None, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a section says of its CronJob.

    Args:
        manifest: the manifest that was applied.
        fingerprint: its fingerprint; None where the server has not kept all of it.
        metadata: the metadata of the object after the apply.
    """
    spec = manifest["spec"]
    values = (
        metadata["name"],
        metadata["uid"],
        metadata["generation"],
        spec["schedule"],
        spec["timeZone"],
        fingerprint,
    )
    return dict(zip(CRONJOB_FIELDS, values, strict=True))


def timetable_fields(
    schedule: UserSchedule, kind: Kind, now: datetime, *, before: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what a section says of the timetable; `before` is the section until now."""
    display = switched_off(schedule, kind) or schedule.sections[kind].chosen.display
    return {"display": display, **next_runs(schedule, kind, now, unserved=_unserved(schedule, kind, before or {}, now))}


def _unserved(schedule: UserSchedule, kind: Kind, before: Mapping[str, Any], now: datetime) -> list[datetime]:
    """Return the due times that have passed without the end of a run, each of which names the next ones.

    Otherwise each edit, repair and roll would put off when a run counts as missing. A due date of another timetable is
    none any more.
    """
    if "cronJobName" not in before:
        return []
    passed = [due for due in map(parse_utc, before.get("nextRunTimes") or ()) if due <= now]
    timetable = schedule.sections[kind].effective
    if not timetable.has_due_dates:
        return passed
    return [due for due in passed if next(timetable.due_after(due - timedelta(seconds=1)), None) == due]


def next_runs(
    schedule: UserSchedule, kind: Kind, now: datetime, *, unserved: Sequence[datetime] = ()
) -> dict[str, list[str] | None]:
    """Return the next three due times, in the user's zone for people and in UTC for programs.

    The fields are None for a kind that is switched off. Those `unserved` come first.
    """
    if switched_off(schedule, kind):
        return {"nextRuns": None, "nextRunTimes": None}
    due = [*unserved, *islice(schedule.sections[kind].effective.due_after(now), _NEXT_RUNS)][:_NEXT_RUNS]
    texts = [format_local(run, schedule.time_zone, before=before) for before, run in pairwise((min(now, *due), *due))]
    return {"nextRuns": texts, "nextRunTimes": [format_utc(run) for run in due]}


def without_next_runs(body: Mapping[str, Any]) -> dict[str, dict[str, None]]:
    """Return the sections of a status patch that take back the next runs which the status announces."""
    sections = {work.status_section: section_of(body, kind) for kind, work in user_kinds().items()}
    return {
        name: dict.fromkeys(fields)
        for name, section in sections.items()
        if (fields := [field for field in ("nextRuns", "nextRunTimes") if field in section])
    }


def active_since(body: Mapping[str, Any], schedule: UserSchedule, *, now: datetime) -> dict[Kind, str | None]:
    """Return since when (RFC 3339, UTC) each kind with due dates has run without a pause, None for one switched off.

    The time is that of the status, or for a UserSchedule without a status that of its creation, or else that of its
    resumption.
    """
    created = body["metadata"].get("creationTimestamp") or format_utc(now)
    since: dict[Kind, str | None] = {}
    for kind, section in schedule.sections.items():
        if not section.chosen.has_due_dates:
            continue
        before = section_of(body, kind)
        running_since = before.get("activeSince") or (resumed_at(body, now) if before else created)
        since[kind] = None if switched_off(schedule, kind) else str(running_since)
    return since


def resumed_at(body: Mapping[str, Any], now: datetime) -> str:
    """Return when jobs resumed (RFC 3339, UTC) that were switched off: at the end that the status names, or `now`.

    An operator that was away at that end loses no digest that was due after it.
    """
    until = (body.get("status") or {}).get(SUSPENDED_UNTIL)
    at = format_utc(now)
    return at if until is None else min(until, at)


def since_of_list(body: Mapping[str, Any]) -> str:
    """Return since when (RFC 3339, UTC) the digests of a UserSchedule are due; empty while that is unknown."""
    before = section_of(body, DIGEST)
    return str(before.get("activeSince") or ("" if before else body["metadata"].get("creationTimestamp", "")))


def switched_off(schedule: UserSchedule, kind: Kind) -> str | None:
    """Return `Suspended` or `Disabled` where the spec switches a kind off, else None."""
    if schedule.suspend:
        return SUSPENDED
    return None if schedule.sections[kind].enabled else DISABLED


def format_local(instant: datetime, zone: str, *, before: datetime) -> str:
    """Return local time with the zone's abbreviation and offset, e.g. `2026-11-24 09:07 CET (UTC+01:00)`.

    Where the offset is another one than at the time `before`, it says so: `2026-10-25 09:00 CET, clock changes before
    (UTC+01:00)`.
    """
    local = instant.astimezone(ZoneInfo(zone))
    changes = ", clock changes before" if local.utcoffset() != before.astimezone(ZoneInfo(zone)).utcoffset() else ""
    offset = local.strftime("%z")
    return f"{local:%Y-%m-%d %H:%M %Z}{changes} (UTC{offset[:3]}:{offset[3:5]})"
