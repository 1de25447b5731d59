"""When each member of a pool was synced last, however long ago, and users' own schedules beside a UserSchedule's.

Revision ID: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from catchup_jobs.adapters.database.types import UtcDateTime

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns that are null: older code goes on working. When members were synced, the runs that are kept say."""
    op.add_column("users", sa.Column("own_time_zone", sa.Text))
    op.add_column("users", sa.Column("own_digest_day", sa.String(32)))
    op.add_column("users", sa.Column("own_digest_time", sa.Time))
    op.add_column("users", sa.Column("own_sync_every", sa.Text))
    op.add_column("pool_slots", sa.Column("synced_at", UtcDateTime))
    op.create_index("ix_pool_slots_pool_kind_synced_at", "pool_slots", ["pool", "kind", "synced_at"])
    op.execute(
        "UPDATE pool_slots SET synced_at = (SELECT max(runs.started_at) FROM runs"
        " WHERE runs.kind = 'sync' AND runs.subject = pool_slots.user_id AND runs.state = 'done')"
        " WHERE kind = 'sync'"
    )
    op.execute("UPDATE schema_info SET version = 17")
