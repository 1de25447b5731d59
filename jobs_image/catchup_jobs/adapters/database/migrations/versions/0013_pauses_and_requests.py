"""Until when a pool's member is suspended, and requests to serve one at once.

Revision ID: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from catchup_jobs.adapters.database.types import UtcDateTime

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns: older code does not know them and goes on working."""
    op.add_column("pool_members", sa.Column("suspended_until", UtcDateTime))
    op.add_column("pool_slots", sa.Column("requested_at", UtcDateTime))
    op.add_column(
        "pool_slots",
        sa.Column("is_requested", sa.Boolean(create_constraint=False), nullable=False, server_default=sa.false()),
    )
    op.execute("UPDATE schema_info SET version = 13")
