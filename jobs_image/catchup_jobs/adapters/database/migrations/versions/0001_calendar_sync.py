"""Users, calendars, free slots and runs.

A migration repeats names and values instead of importing them: it must mean the same after the code has moved on.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from catchup_jobs.adapters.database.types import UtcDateTime, row_id, user_id

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _one_of(column: str, *values: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(f"{column} IN ({', '.join(repr(value) for value in values)})", name=column)


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
    """Create all tables."""
    schema_info = op.create_table(
        "schema_info",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("min_code", sa.Integer, nullable=False),
        sa.CheckConstraint("id = 1", name="one_row"),
    )
    op.bulk_insert(schema_info, [{"id": 1, "version": 1, "min_code": 1}])
    _people()
    _calendar()
    _bookkeeping()


def _people() -> None:
    days = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "Daily")
    op.create_table(
        "users",
        sa.Column("id", user_id(), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("time_zone", sa.Text, nullable=False),
        _enum("digest_day"),
        sa.Column("digest_time", sa.Time, nullable=False),
        sa.Column("sync_every", sa.Text, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("night_start", sa.Time),
        sa.Column("night_end", sa.Time),
        sa.Column("schedule_seen_at", UtcDateTime),
        sa.Column("availability_computed_at", UtcDateTime),
        sa.Column("availability_horizon_end", UtcDateTime),
        sa.Column("availability_fingerprint", sa.Text),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        _one_of("digest_day", *days),
        sa.CheckConstraint("(night_start IS NULL) = (night_end IS NULL)", name="night"),
    )
    for name in ("manual_blocks", "commute_windows"):
        op.create_table(
            name,
            _of_user(primary_key=True),
            _enum("weekday", primary_key=True),
            sa.Column("start_time", sa.Time, primary_key=True),
            sa.Column("end_time", sa.Time, nullable=False),
            _one_of("weekday", "MO", "TU", "WE", "TH", "FR", "SA", "SU"),
        )
    op.create_table(
        "oauth_tokens",
        _of_user(primary_key=True),
        _enum("provider"),
        sa.Column("account", sa.Text),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("ciphertext", sa.LargeBinary, nullable=False),
        _enum("state"),
        sa.Column("expires_at", UtcDateTime),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        _one_of("provider", "google"),
        _one_of("state", "active", "reconnect"),
    )


def _calendar() -> None:
    op.create_table(
        "calendars",
        sa.Column("id", row_id(), primary_key=True),
        _of_user(),
        sa.Column("google_id", sa.Text, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("is_primary", sa.Boolean, nullable=False),
        sa.Column("access_role", sa.Text, nullable=False),
        sa.Column("time_zone", sa.Text),
        sa.Column("selected", sa.Boolean, nullable=False),
        sa.Column("removed_at", UtcDateTime),
        sa.Column("sync_token", sa.Text),
        sa.Column("params_hash", sa.Text),
        sa.Column("horizon_end", UtcDateTime),
        sa.Column("last_full_sync_at", UtcDateTime),
        sa.Column("last_success_at", UtcDateTime),
        _enum("last_error", nullable=True),
        sa.UniqueConstraint("user_id", "google_id"),
        _one_of("last_error", "unavailable", "quota", "forbidden", "not_found", "bad_data"),
    )
    op.create_table(
        "events",
        sa.Column("id", row_id(), primary_key=True),
        sa.Column("calendar_id", row_id(), sa.ForeignKey("calendars.id", ondelete="CASCADE"), nullable=False),
        sa.Column("google_id", sa.Text, nullable=False),
        _enum("status"),
        sa.Column("busy", sa.Boolean, nullable=False),
        sa.Column("start_at", UtcDateTime),
        sa.Column("end_at", UtcDateTime),
        sa.Column("start_date", sa.Date),
        sa.Column("end_date", sa.Date),
        sa.Column("summary", sa.Text),
        sa.Column("description", sa.Text),
        sa.Column("location", sa.Text),
        sa.Column("event_type", sa.Text),
        sa.Column("recurring_event_id", sa.Text),
        sa.Column("original_start", sa.Text),
        sa.Column("ical_uid", sa.Text),
        sa.Column("etag", sa.Text),
        sa.Column("updated_at", UtcDateTime),
        sa.UniqueConstraint("calendar_id", "google_id"),
        _one_of("status", "confirmed", "tentative"),
        sa.CheckConstraint(
            "(start_at IS NOT NULL AND end_at IS NOT NULL AND start_date IS NULL AND end_date IS NULL)"
            " OR (start_at IS NULL AND end_at IS NULL AND start_date IS NOT NULL AND end_date IS NOT NULL)",
            name="timed_or_all_day",
        ),
    )
    op.create_table(
        "free_slots",
        _of_user(primary_key=True),
        sa.Column("start_at", UtcDateTime, primary_key=True),
        sa.Column("end_at", UtcDateTime, nullable=False),
        sa.CheckConstraint("end_at > start_at", name="order"),
    )


def _bookkeeping() -> None:
    kinds = ("sync", "digest", "suggestions")
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
    )
    op.create_table(
        "runs",
        sa.Column("run_key", sa.Text, primary_key=True),
        _enum("kind"),
        sa.Column("subject", user_id(), nullable=False),
        sa.Column("slot", UtcDateTime),
        _enum("state"),
        _enum("reason", nullable=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("lease_until", UtcDateTime),
        sa.Column("checkpoint", sa.JSON),
        sa.Column("counts", sa.JSON),
        sa.Column("started_at", UtcDateTime, nullable=False),
        sa.Column("finished_at", UtcDateTime),
        _one_of("kind", *kinds),
        _one_of("state", "open", "retry", "done", "skipped", "failed"),
        _one_of("reason", *reasons),
    )
    op.create_index("ix_runs_kind_subject_started_at", "runs", ["kind", "subject", "started_at"])
    op.create_index("ix_runs_lease_until", "runs", ["lease_until"])
    op.create_table(
        "dead_letters",
        sa.Column("run_key", sa.Text, primary_key=True),
        _enum("kind"),
        sa.Column("subject", user_id(), nullable=False),
        sa.Column("slot", UtcDateTime),
        _enum("reason"),
        sa.Column("error_class", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        _one_of("kind", *kinds),
        _one_of("reason", *reasons),
    )
