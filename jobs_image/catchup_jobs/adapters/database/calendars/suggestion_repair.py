"""What a change of calendars does to suggestions.

Both functions import when they are called: the import costs 20 ms, which a sync without changes saves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy import Connection

    from catchup_jobs.domain.planning.rules import Rules
    from catchup_jobs.domain.planning.suggestions import Plan


def repair_suggestions(connection: Connection, user_id: str, now: datetime, rules: Rules) -> Plan:
    """Move or expire suggestions that clash with the changed events; call it after `bump_planning_version`."""
    from catchup_jobs.adapters.database.suggestions.repair import repair  # noqa: PLC0415

    return repair(connection, user_id, now, rules)


def call_off(connection: Connection, user_id: str, calendar_id: int, removed: Collection[str], now: datetime) -> int:
    """Expire accepted suggestions whose event is gone; return how many."""
    if not removed:
        return 0
    from catchup_jobs.adapters.database.suggestions import repair  # noqa: PLC0415

    return repair.call_off(connection, user_id, calendar_id, removed, now)
