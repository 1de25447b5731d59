"""Indexes for `catchup-jobs metrics`: slots of pools whose run is tried again, dead letters and runs by their reasons.

Revision ID: 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add indexes: older code goes on working."""
    is_unfinished = sa.column("unfinished").is_not(None)
    op.create_index(
        "ix_pool_slots_unfinished",
        "pool_slots",
        ["unfinished"],
        postgresql_where=is_unfinished,
        sqlite_where=is_unfinished,
    )
    op.create_index("ix_dead_letters_kind_reason", "dead_letters", ["kind", "reason"])
    has_reason = sa.column("reason").is_not(None)
    op.create_index(
        "ix_runs_reason",
        "runs",
        ["kind", "reason", "started_at"],
        postgresql_where=has_reason,
        sqlite_where=has_reason,
    )
    op.execute("UPDATE schema_info SET version = 16")
