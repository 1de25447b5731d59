"""Addresses, consents, digests and deliveries.

Revision ID: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from catchup_jobs.adapters.database.types import UtcDateTime, row_id, user_id

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_CHANNELS = ("sms", "email")
_SKIP_REASONS = (
    "empty",
    "late",
    "paused",
    "off",
    "no_address",
    "no_consent",
    "opted_out",
    "not_configured",
    "quiet_hours",
    "not_needed",
)


def _one_of(column: str, *values: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(_in(column, *values), name=column)


def _in(column: str, *values: str) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def _enum(name: str, *, primary_key: bool = False, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(32), primary_key=primary_key, nullable=nullable)


def _of_user(*, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(
        "user_id",
        user_id(),
        sa.ForeignKey("users.id", ondelete="CASCADE"),
        nullable=False,
        primary_key=primary_key,
    )


def upgrade() -> None:
    """Add tables and reasons: older code goes on working."""
    op.create_table(
        "addresses",
        _of_user(primary_key=True),
        _enum("channel", primary_key=True),
        _enum("mode"),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("ciphertext", sa.LargeBinary, nullable=False),
        sa.Column("lookup", sa.Text, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        _one_of("channel", *_CHANNELS),
        _one_of("mode", "off", "fallback", "on"),
        sa.CheckConstraint("channel <> 'sms' OR mode <> 'fallback'", name="sms_mode"),
    )
    op.create_table(
        "consents",
        _enum("channel", primary_key=True),
        sa.Column("lookup", sa.Text, primary_key=True),
        sa.Column("consented_at", UtcDateTime),
        sa.Column("opted_out_at", UtcDateTime),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        _one_of("channel", *_CHANNELS),
    )
    _digests()
    _reasons()
    op.execute("UPDATE schema_info SET version = 3")


def _digests() -> None:
    op.create_table(
        "digests",
        sa.Column("id", row_id(), primary_key=True),
        _of_user(),
        sa.Column("due_date", sa.Date, nullable=False),
        sa.Column("due_at", UtcDateTime),
        sa.Column("content", sa.JSON),
        _enum("skip_reason", nullable=True),
        sa.Column("delivered_mark", UtcDateTime),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.UniqueConstraint("user_id", "due_date"),
        _one_of("skip_reason", *_SKIP_REASONS),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", row_id(), primary_key=True),
        sa.Column("digest_id", row_id(), sa.ForeignKey("digests.id", ondelete="CASCADE"), nullable=False),
        _enum("channel"),
        _enum("status"),
        _enum("skip_reason", nullable=True),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("attempt_id", sa.Text),
        sa.Column("lease_until", UtcDateTime),
        sa.Column("attempted_at", UtcDateTime),
        sa.Column("address_lookup", sa.Text),
        sa.Column("short_code", sa.Text, nullable=False),
        sa.Column("provider_id", sa.Text),
        sa.Column("provider_status", sa.Text),
        sa.Column("provider_final", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("error_code", sa.Text),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.UniqueConstraint("digest_id", "channel"),
        _one_of("channel", *_CHANNELS),
        _one_of("status", "pending", "sending", "sent", "failed", "skipped", "unknown"),
        _one_of("skip_reason", *_SKIP_REASONS),
        sa.CheckConstraint("(status = 'skipped') = (skip_reason IS NOT NULL)", name="skip"),
        sa.CheckConstraint("(status = 'sending') = (lease_until IS NOT NULL)", name="lease"),
    )


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
        "empty",
        "late",
        "not_due",
        "no_channel",
        "quiet_hours",
        "undelivered",
        "unconfirmed",
    )
    for table in ("runs", "dead_letters"):
        with op.batch_alter_table(table) as batch:
            batch.drop_constraint("reason", type_="check")
            batch.create_check_constraint("reason", _in("reason", *reasons))
