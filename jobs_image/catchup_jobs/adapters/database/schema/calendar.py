"""Calendars, their events, and free slots."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from catchup_jobs.adapters.database.schema.base import metadata, of_user
from catchup_jobs.adapters.database.types import UtcDateTime, row_id, text_enum
from catchup_jobs.domain.stored_enums import CalendarError, EventStatus

# `selected`: the user's choice in CatchUp, not Google's flag. `removed_at`: when it was gone from Google's list.
calendars: Final = Table(
    "calendars",
    metadata,
    Column("id", row_id(), primary_key=True),
    of_user(),
    Column("google_id", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("is_primary", Boolean(create_constraint=False), nullable=False),
    Column("access_role", Text, nullable=False),
    Column("time_zone", Text),
    Column("selected", Boolean(create_constraint=False), nullable=False),
    Column("removed_at", UtcDateTime),
    Column("sync_token", Text),
    Column("params_hash", Text),
    Column("horizon_end", UtcDateTime),
    Column("last_full_sync_at", UtcDateTime),
    Column("last_success_at", UtcDateTime),
    Column("last_error", text_enum(CalendarError, "last_error")),
    Column("unreadable_events", Integer, nullable=False, server_default="0"),
    UniqueConstraint("user_id", "google_id"),
)

# Timed events have instants, all-day events have dates (end exclusive), never both.
events: Final = Table(
    "events",
    metadata,
    Column("id", row_id(), primary_key=True),
    Column("calendar_id", row_id(), ForeignKey("calendars.id", ondelete="CASCADE"), nullable=False),
    Column("google_id", Text, nullable=False),
    Column("status", text_enum(EventStatus, "status"), nullable=False),
    Column("busy", Boolean(create_constraint=False), nullable=False),
    Column("start_at", UtcDateTime),
    Column("end_at", UtcDateTime),
    Column("start_date", Date),
    Column("end_date", Date),
    Column("summary", Text),
    Column("description", Text),
    Column("location", Text),
    Column("event_type", Text),
    Column("recurring_event_id", Text),
    Column("original_start", Text),
    Column("ical_uid", Text),
    Column("etag", Text),
    Column("updated_at", UtcDateTime),
    Column("has_conference", Boolean(create_constraint=False), nullable=False, server_default=false()),
    UniqueConstraint("calendar_id", "google_id"),
    CheckConstraint(
        "(start_at IS NOT NULL AND end_at IS NOT NULL AND start_date IS NULL AND end_date IS NULL)"
        " OR (start_at IS NULL AND end_at IS NULL AND start_date IS NOT NULL AND end_date IS NOT NULL)",
        name="timed_or_all_day",
    ),
)

free_slots: Final = Table(
    "free_slots",
    metadata,
    of_user(primary_key=True),
    Column("start_at", UtcDateTime, primary_key=True),
    Column("end_at", UtcDateTime, nullable=False),
    CheckConstraint("end_at > start_at", name="order"),
)
