"""When a pod of each pool has run last.

Revision ID: 0015
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from catchup_jobs.adapters.database.types import UtcDateTime

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table. Of pools that are there it says that they have run now: nobody knows when they have."""
    ticks = op.create_table(
        "pool_ticks",
        sa.Column("pool", sa.Text, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("pool", name=op.f("pk_pool_ticks")),
    )
    lists = sa.table("pool_lists", sa.column("pool"))
    now = sa.literal(datetime.now(UTC), UtcDateTime())
    op.execute(ticks.insert().from_select(["pool", "at"], sa.select(lists.c.pool, now)))
    op.execute("UPDATE schema_info SET version = 15")
