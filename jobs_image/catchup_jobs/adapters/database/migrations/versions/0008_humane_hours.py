"""Preferred hours of users, and which events have a conference.

Revision ID: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from catchup_jobs.adapters.database.types import user_id

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table and a column with a default: older code goes on working."""
    op.create_table(
        "preferred_windows",
        sa.Column(
            "user_id", user_id(), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, primary_key=True
        ),
        sa.Column("weekday", sa.String(32), primary_key=True, nullable=False),
        sa.Column("start_time", sa.Time, primary_key=True),
        sa.Column("end_time", sa.Time, nullable=False),
        sa.CheckConstraint("weekday IN ('MO', 'TU', 'WE', 'TH', 'FR', 'SA', 'SU')", name="weekday"),
    )
    op.add_column(
        "events",
        sa.Column("has_conference", sa.Boolean(create_constraint=False), nullable=False, server_default=sa.false()),
    )
    op.execute("UPDATE schema_info SET version = 8")
