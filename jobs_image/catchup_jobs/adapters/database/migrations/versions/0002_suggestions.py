"""Contacts, interactions and suggestions.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from catchup_jobs.adapters.database.types import UtcDateTime, row_id, user_id

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _one_of(column: str, *values: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(_in(column, *values), name=column)


def _in(column: str, *values: str) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def _enum(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(32), nullable=nullable)


def _of_user() -> sa.Column[str]:
    return sa.Column("user_id", user_id(), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False)


def _of_contact(*, primary_key: bool = False) -> sa.Column[int]:
    return sa.Column(
        "contact_id",
        row_id(),
        sa.ForeignKey("contacts.id", ondelete="CASCADE"),
        nullable=False,
        primary_key=primary_key,
    )


def upgrade() -> None:
    """Add tables, columns with defaults and reasons: older code goes on working."""
    op.add_column("users", sa.Column("city", sa.Text))
    op.add_column("users", sa.Column("planning_version", sa.Integer, nullable=False, server_default="0"))
    _contacts()
    _suggestions()
    _reasons()
    op.execute("UPDATE schema_info SET version = 2")


def _contacts() -> None:
    frequencies = ("daily", "weekly", "biweekly", "monthly", "quarterly", "yearly", "flexible", "na")
    op.create_table(
        "contacts",
        sa.Column("id", row_id(), primary_key=True),
        _of_user(),
        sa.Column("external_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        _enum("frequency", nullable=True),
        sa.Column("city", sa.Text),
        sa.Column("time_zone", sa.Text),
        sa.Column("excluded", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("archived", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.UniqueConstraint("user_id", "external_id"),
        _one_of("frequency", *frequencies),
    )
    op.create_table("contact_tags", _of_contact(primary_key=True), sa.Column("tag", sa.Text, primary_key=True))
    op.create_table("contact_groups", _of_contact(primary_key=True), sa.Column("name", sa.Text, primary_key=True))
    op.create_table(
        "interactions", _of_contact(primary_key=True), sa.Column("occurred_at", UtcDateTime, primary_key=True)
    )


def _suggestions() -> None:
    op.create_table(
        "suggestions",
        sa.Column("id", row_id(), primary_key=True),
        _of_user(),
        _of_contact(),
        _enum("trigger"),
        _enum("status"),
        _enum("mode"),
        sa.Column("start_at", UtcDateTime, nullable=False),
        sa.Column("end_at", UtcDateTime, nullable=False),
        sa.Column("reasoning", sa.Text, nullable=False),
        sa.Column("source_calendar_id", row_id(), sa.ForeignKey("calendars.id", ondelete="SET NULL")),
        sa.Column("source_event_id", sa.Text),
        sa.Column("source_event_title", sa.Text),
        sa.Column("booked_event_id", sa.Text),
        sa.Column("snoozed_until", UtcDateTime),
        sa.Column("delivered_at", UtcDateTime),
        sa.Column("answered_at", UtcDateTime),
        _enum("expiry_reason", nullable=True),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.CheckConstraint(_in('"trigger"', "time_bound", "shared_activity"), name="trigger"),
        _one_of("status", "pending", "accepted", "dismissed", "snoozed", "expired"),
        _one_of("mode", "in_person", "call", "either"),
        _one_of("expiry_reason", "passed", "clash", "event_gone", "event_moved", "met", "contact_excluded"),
        sa.CheckConstraint("end_at > start_at", name="order"),
        sa.CheckConstraint("(status = 'snoozed') = (snoozed_until IS NOT NULL)", name="snooze"),
        sa.CheckConstraint("(status = 'expired') = (expiry_reason IS NOT NULL)", name="expiry"),
        sa.CheckConstraint("(trigger = 'shared_activity') = (source_event_id IS NOT NULL)", name="source"),
    )
    is_open = sa.text("status IN ('pending', 'snoozed')")
    op.create_index(
        "uq_suggestions_open_contact",
        "suggestions",
        ["contact_id"],
        unique=True,
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    op.create_index("ix_suggestions_contact_id", "suggestions", ["contact_id"])
    op.create_index("ix_suggestions_user_id_status_end_at", "suggestions", ["user_id", "status", "end_at"])
    op.create_index("ix_suggestions_source_calendar_id", "suggestions", ["source_calendar_id"])


def _reasons() -> None:
    reasons = (
        "partial",
        "reconnect",
        "not_connected",
        "not_configured",
        "locked",
        "already_done",
        "terminated",
        "deadline",
        "unavailable",
        "budget_spent",
        "bad_data",
        "unknown_user",
        "misconfigured",
        "crashed",
        "calendar_stale",
        "paused",
    )
    for table in ("runs", "dead_letters"):
        with op.batch_alter_table(table) as batch:
            batch.drop_constraint("reason", type_="check")
            batch.create_check_constraint("reason", _in("reason", *reasons))
