"""Indexes for `catchup-jobs metrics`: the slots of pools whose run is tried again, and dead letters by their reasons.

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
    op.execute("UPDATE schema_info SET version = 16")
