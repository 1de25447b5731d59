"""Suggestions."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    text,
)

from catchup_jobs.adapters.database.schema.base import metadata, of_user
from catchup_jobs.adapters.database.schema.contacts import of_contact
from catchup_jobs.adapters.database.types import UtcDateTime, row_id, text_enum
from catchup_jobs.domain.stored_enums import ExpiryReason, Mode, SuggestionStatus, Trigger

_OPEN: Final = text("status IN ('pending', 'snoozed')")

# `source_event_id`: Google's id of the event that a shared activity is about, in `source_calendar_id`; kept, with its
# title, when the event's row goes. `booked_event_id`: the calendar event that an accepted suggestion got.
# `delivered_at`: when the first digest that carried it was sent. `answered_at`: when the user last accepted, dismissed
# or snoozed it. `version`: for compare-and-swap, raised by every change. A change raises the user's `planning_version`
# first.
suggestions: Final = Table(
    "suggestions",
    metadata,
    Column("id", row_id(), primary_key=True),
    of_user(),
    of_contact(),
    Column("trigger", text_enum(Trigger, "trigger"), nullable=False),
    Column("status", text_enum(SuggestionStatus, "status"), nullable=False),
    Column("mode", text_enum(Mode, "mode"), nullable=False),
    Column("start_at", UtcDateTime, nullable=False),
    Column("end_at", UtcDateTime, nullable=False),
    Column("reasoning", Text, nullable=False),
    Column("source_calendar_id", row_id(), ForeignKey("calendars.id", ondelete="SET NULL")),
    Column("source_event_id", Text),
    Column("source_event_title", Text),
    Column("booked_event_id", Text),
    Column("snoozed_until", UtcDateTime),
    Column("delivered_at", UtcDateTime),
    Column("answered_at", UtcDateTime),
    Column("expiry_reason", text_enum(ExpiryReason, "expiry_reason")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    CheckConstraint("end_at > start_at", name="order"),
    CheckConstraint("(status = 'snoozed') = (snoozed_until IS NOT NULL)", name="snooze"),
    CheckConstraint("(status = 'expired') = (expiry_reason IS NOT NULL)", name="expiry"),
    CheckConstraint("(trigger = 'shared_activity') = (source_event_id IS NOT NULL)", name="source"),
    Index("uq_suggestions_open_contact", "contact_id", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
    Index(None, "contact_id"),
    Index(None, "user_id", "status", "end_at"),
    Index(None, "source_calendar_id"),
    # The id of a deleted row is not given to another one.
    sqlite_autoincrement=True,
)
