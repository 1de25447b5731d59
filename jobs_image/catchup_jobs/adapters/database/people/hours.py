"""Users' own hours (blocks, commutes, nights) and zones, as the database holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import bindparam, literal, select, union_all

from catchup_contract.local_time import is_time_zone
from catchup_jobs.adapters.database.schema import commute_windows, manual_blocks, preferred_windows
from catchup_jobs.domain.calendar.availability import AvailabilityParameters, Night, WeeklyWindow
from catchup_jobs.domain.stored_enums import Weekday
from catchup_jobs.jobs.run.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

# The tables of weekly windows, by their field in `AvailabilityParameters`.
WINDOWS: Final = {"blocks": manual_blocks, "commutes": commute_windows, "preferred": preferred_windows}
_WINDOWS: Final = union_all(
    *(
        select(literal(name), table.c.user_id, table.c.weekday, table.c.start_time, table.c.end_time).where(
            table.c.user_id.in_(bindparam("users", expanding=True))
        )
        for name, table in WINDOWS.items()
    )
)
_ORDER: Final = {weekday: number for number, weekday in enumerate(Weekday)}


def hours_of(connection: Connection, users: Sequence[Any]) -> dict[str, AvailabilityParameters]:
    """Return the hours of users by id, in one statement however many they are.

    Args:
        users: rows with `id`, `night_start` and `night_end`.
    """
    ids = [user.id for user in users]
    windows = _windows(connection, ids)
    return {
        user.id: AvailabilityParameters(
            night=_night(user), **{name: tuple(windows.get((name, user.id), ())) for name in WINDOWS}
        )
        for user in users
    }


def zone_of(name: str) -> ZoneInfo | None:
    """Return a stored zone, None where its name is not (or no longer) an IANA zone."""
    return ZoneInfo(name) if is_time_zone(name) else None


def require_zone(name: str) -> ZoneInfo:
    """Return a stored zone.

    Raises:
        PermanentError: its name is not an IANA zone.
    """
    zone = zone_of(name)
    if zone is None:
        raise PermanentError(f"the user's time zone {name!r} is not a known IANA zone")
    return zone


def _windows(connection: Connection, ids: Sequence[str]) -> dict[tuple[str, str], list[WeeklyWindow]]:
    if not ids:
        return {}
    windows: dict[tuple[str, str], list[WeeklyWindow]] = {}
    for name, user_id, weekday, start, end in connection.execute(_WINDOWS, {"users": ids}).all():
        windows.setdefault((name, user_id), []).append(WeeklyWindow(weekday, start, end))
    for of_user in windows.values():
        of_user.sort(key=lambda window: (_ORDER[window.weekday], window.start))
    return windows


def _night(user: Any) -> Night | None:
    if user.night_start is None or user.night_start == user.night_end:
        return None
    return Night(user.night_start, user.night_end)
