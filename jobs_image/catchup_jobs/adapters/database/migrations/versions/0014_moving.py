"""Members who leave a pool, and when each user's list of calendars was read.

Revision ID: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from catchup_jobs.adapters.database.types import UtcDateTime

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns with a default, or null: older code goes on working."""
    op.add_column(
        "pool_members",
        sa.Column("leaving", sa.Boolean(create_constraint=False), nullable=False, server_default=sa.false()),
    )
    leaving: sa.ColumnElement[bool] = sa.column("leaving", sa.Boolean)
    op.create_index("ix_pool_members_leaving", "pool_members", ["pool"], postgresql_where=leaving, sqlite_where=leaving)
    op.add_column("oauth_tokens", sa.Column("calendars_listed_at", UtcDateTime))
    op.execute("UPDATE schema_info SET version = 14")
