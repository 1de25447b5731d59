"""Counters of runs by the hour, and indexes for the questions that `catchup-jobs metrics` asks.

Revision ID: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from catchup_jobs.adapters.database.types import UtcDateTime

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table and indexes: older code goes on working, and does not count its runs."""
    op.create_table(
        "run_counts",
        sa.Column("hour", UtcDateTime, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, primary_key=True),
        sa.Column("reason", sa.Text, primary_key=True),
        sa.Column("stripe", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("runs", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
    )
    op.create_index("ix_runs_kind_state_started_at", "runs", ["kind", "state", "started_at"])
    op.create_index("ix_oauth_tokens_state", "oauth_tokens", ["state"])
    unsettled = sa.text("status IN ('pending', 'sending', 'unknown')")
    op.create_index(
        "ix_deliveries_unsettled",
        "deliveries",
        ["status", "channel"],
        postgresql_where=unsettled,
        sqlite_where=unsettled,
    )
    op.execute("UPDATE schema_info SET version = 11")
