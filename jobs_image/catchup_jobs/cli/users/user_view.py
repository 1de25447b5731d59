"""One user as `catchup-jobs user show` prints it, as lines or as JSON."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from catchup_contract.kinds import DIGEST
from catchup_contract.timestamps import format_utc
from catchup_jobs.adapters.database.calendars.selection import DatabaseCalendarSelection
from catchup_jobs.adapters.database.digests.overview import latest_digest
from catchup_jobs.adapters.database.people.contacts import count_contacts
from catchup_jobs.adapters.database.pools.members import is_suspended
from catchup_jobs.adapters.database.pools.overview import membership
from catchup_jobs.adapters.database.runs.listing import DatabaseHistory, Failures
from catchup_jobs.adapters.database.suggestions.answers import DatabaseAnswers
from catchup_jobs.domain.calendar.availability import DEFAULT_END, DEFAULT_START
from catchup_jobs.domain.calendar.overview import problems
from catchup_jobs.domain.digest.channels import CHANNELS
from catchup_jobs.domain.planning.agenda import PREFERRED
from catchup_jobs.domain.stored_enums import CURRENT_SUGGESTIONS
from catchup_jobs.domain.text import one_line
from catchup_jobs.jobs.run.errors import MisconfiguredError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.adapters.database.people.addresses import DatabaseAddresses
    from catchup_jobs.adapters.database.people.users import UserOverview
    from catchup_jobs.adapters.database.pools.overview import Membership
    from catchup_jobs.domain.calendar.availability import WeeklyWindow

_WIDTH: Final = 11
_RUNS: Final = 10


def read_view(database: Database, addresses: DatabaseAddresses, overview: UserOverview) -> dict[str, Any]:
    """Return a user's data as JSON values; addresses are masked.

    Raises:
        JobError: the database cannot be used.
    """
    user, schedule = overview.user, overview.user.schedule
    night = user.availability.night
    history = DatabaseHistory(database)
    with database.read() as connection:
        contacts, left_out = count_contacts(connection, user.id)
        pool = membership(connection, user.id)
    return {
        "id": user.id,
        "name": user.name,
        "city": user.city,
        "timeZone": schedule.time_zone,
        "digest": f"{schedule.digest_day} {schedule.digest_time:%H:%M}",
        "syncEvery": schedule.sync_every,
        "paused": user.paused,
        "pool": _pool(pool),
        "openHours": _weekly(user.availability.blocks),
        "commutes": _weekly(user.availability.commutes),
        "preferredHours": _weekly(user.availability.preferred),
        "night": f"{night.start:%H:%M}-{night.end:%H:%M}" if night else None,
        "calendar": overview.calendar,
        "calendars": _calendars(database, user.id),
        "contacts": {"total": contacts, "leftOut": left_out},
        "channels": _channels(addresses, user.id),
        "suggestions": dict(
            Counter(view.status.value for view in DatabaseAnswers(database).listing(user.id, CURRENT_SUGGESTIONS))
        ),
        "lastDigest": _digest(database, user.id),
        "lastRuns": [
            {
                "kind": run.kind.name,
                "state": run.state.value,
                "reason": run.reason.value if run.reason else None,
                "endedAt": _utc(run.finished_at),
            }
            for run in history.runs(limit=_RUNS, subject=user.id)
        ],
        "givenUp": history.count_failures(Failures(subject=user.id)),
    }


def lines(view: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines for a terminal."""
    contacts, channels, digest = view["contacts"], view["channels"], view["lastDigest"]
    fields: dict[str, str] = {
        "id": view["id"],
        "name": view["name"],
        "city": view["city"] or "-",
        "time zone": view["timeZone"],
        "digest": view["digest"],
        "sync": f"every {(view['pool'] or {}).get('syncEvery') or view['syncEvery']}",
        "paused": "yes" if view["paused"] else "no",
        **({"pool": _pool_words(view["pool"])} if view["pool"] else {}),
        "open hours": view["openHours"] or f"every day {DEFAULT_START:%H:%M}-{DEFAULT_END:%H:%M}",
        "commutes": view["commutes"] or "-",
        "preferred": view["preferredHours"] or str(_weekly(PREFERRED)),
        "night": view["night"] or "-",
        "calendar": view["calendar"] or "not connected",
        "contacts": f"{contacts['total']}"
        + (f" ({contacts['leftOut']} of them excluded or archived)" if contacts["leftOut"] else ""),
    }
    for calendar in view["calendars"]:
        if calendar["troubles"]:
            name = f"calendar {one_line(calendar['name'])}{' (primary)' if calendar['primary'] else ''}"
            # Two calendars may have the same name.
            fields[name] = "; ".join([*([fields[name]] if name in fields else []), *calendar["troubles"]])
    if channels is None:
        fields["channels"] = "(not readable with these encryption keys)"
    for channel in channels or ():
        fields[channel["channel"]] = f"{channel['address']} ({', '.join(_said(channel))})"
    fields["suggestions"] = ", ".join(f"{number} {status}" for status, number in view["suggestions"].items()) or "-"
    fields["last digest"] = "-" if digest is None else f"{digest['dueDate']}: {', '.join(_deliveries(digest))}"
    for run in reversed(view["lastRuns"]):
        reason = f", {run['reason']}" if run["reason"] else ""
        fields[f"last {run['kind']}" if run["kind"] != DIGEST.name else "digest run"] = (
            f"{run['endedAt'] or 'under way'} ({run['state']}{reason})"
        )
    if view["givenUp"]:
        fields["given up"] = f"{view['givenUp']} runs: `catchup-jobs failures list --user {view['id']}`"
    for name, value in fields.items():
        yield f"{name:<{_WIDTH}} {one_line(value)}"


def _pool(found: Membership | None) -> dict[str, Any] | None:
    if found is None:
        return None
    until = found.suspended_until
    return {
        "name": found.pool,
        "by": found.by,
        "due": {kind: _utc(at) for kind, at in found.due.items()},
        "syncEvery": found.sync_every,
        "suspendedUntil": _utc(until if is_suspended(until, datetime.now(UTC)) else None),
    }


def _pool_words(pool: Mapping[str, Any]) -> str:
    if not pool["due"]:
        return (
            f"enrolled in {pool['name']}, which does not serve the user: a UserSchedule names the user, or the pool's "
            "members are UserSchedules"
        )
    if pool["suspendedUntil"]:
        return f"{pool['name']} (by {pool['by']}); suspended until {pool['suspendedUntil']}"
    due = ", ".join(f"next {kind} {at or 'not computed yet'}" for kind, at in pool["due"].items())
    return f"{pool['name']} (by {pool['by']}); {due}"


def _calendars(database: Database, user_id: str) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    return [
        {
            "name": calendar.summary,
            "primary": calendar.primary,
            "selected": calendar.selected,
            "lastSyncedAt": _utc(calendar.last_success_at),
            "error": calendar.last_error.value if calendar.last_error else None,
            "unreadableEvents": calendar.unreadable_events,
            "troubles": list(problems(calendar, now)),
        }
        for calendar in DatabaseCalendarSelection(database).listing(user_id)
    ]


def _channels(addresses: DatabaseAddresses, user_id: str) -> list[dict[str, Any]] | None:
    try:
        overviews = addresses.overviews(user_id)
    except MisconfiguredError:
        return None
    return [
        {
            "channel": overview.channel.name,
            "address": overview.channel.mask(overview.address),
            "mode": overview.mode.value,
            "consentedAt": _utc(overview.consented_at),
            "optedOutAt": _utc(overview.opted_out_at),
        }
        for overview in overviews
    ]


def _said(channel: Mapping[str, Any]) -> Iterator[str]:
    yield channel["mode"]
    if CHANNELS[channel["channel"]].needs_consent:
        yield f"consent {channel['consentedAt'][:10]}" if channel["consentedAt"] else "no consent"
    if channel["optedOutAt"]:
        yield f"opted out {channel['optedOutAt'][:10]}"


def _digest(database: Database, user_id: str) -> dict[str, Any] | None:
    last = latest_digest(database, user_id)
    if last is None:
        return None
    return {
        "dueDate": last.due_date.isoformat(),
        "skipReason": last.skip_reason.value if last.skip_reason else None,
        "deliveries": [
            {
                "channel": delivery.channel.name,
                "status": delivery.status.value,
                "notes": [
                    str(note) for note in (delivery.skip_reason, delivery.provider_status, delivery.error_code) if note
                ],
            }
            for delivery in last.deliveries
        ],
    }


def _deliveries(digest: Mapping[str, Any]) -> Iterator[str]:
    if digest["skipReason"]:
        yield f"skipped ({digest['skipReason']})"
        return
    for delivery in digest["deliveries"]:
        notes = f" ({', '.join(delivery['notes'])})" if delivery["notes"] else ""
        yield f"{delivery['channel']} {delivery['status']}{notes}"


def _weekly(windows: Iterable[WeeklyWindow]) -> str | None:
    days: dict[str, list[str]] = {}
    for window in windows:
        days.setdefault(f"{window.start:%H:%M}-{window.end:%H:%M}", []).append(window.weekday.value)
    return "; ".join(f"{','.join(names)} {hours}" for hours, names in days.items()) or None


def _utc(instant: datetime | None) -> str | None:
    return format_utc(instant) if instant else None
