"""Members of pools, and when each is due.

Revision ID: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from catchup_jobs.adapters.database.types import UtcDateTime, user_id

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add tables: older code does not know them and goes on working."""
    op.create_table(
        "pool_enrolments",
        sa.Column("user_id", user_id(), sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("pool", sa.Text, nullable=False),
        sa.Column("since", UtcDateTime, nullable=False),
    )
    op.create_index("ix_pool_enrolments_pool", "pool_enrolments", ["pool"])
    op.create_table(
        "pool_members",
        sa.Column("user_id", user_id(), sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("pool", sa.Text, nullable=False),
        sa.Column("digest_since", UtcDateTime),
        sa.Column("uid", sa.Text),
        sa.Column("generation", sa.Integer),
        sa.Column("time_zone", sa.Text),
        sa.Column("digest_day", sa.String(32)),
        sa.Column("digest_time", sa.Time),
        sa.Column("sync_every", sa.Text),
    )
    op.create_index("ix_pool_members_pool", "pool_members", ["pool"])
    op.create_table(
        "pool_slots",
        sa.Column("user_id", user_id(), sa.ForeignKey("pool_members.user_id", ondelete="CASCADE"), primary_key=True),
        sa.Column("kind", sa.String(32), primary_key=True),
        sa.Column("pool", sa.Text, nullable=False),
        sa.Column("bucket", sa.Integer, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False, server_default="1"),
        sa.Column("version", sa.Text, nullable=False, server_default=""),
        sa.Column("due_at", UtcDateTime),
        sa.Column("unfinished", UtcDateTime),
        sa.Column("owner", sa.Text),
        sa.Column("deaths", sa.Integer, nullable=False, server_default="0"),
    )
    op.create_index("ix_pool_slots_pool_kind_due_at", "pool_slots", ["pool", "kind", "due_at"])
    op.create_index("ix_pool_slots_pool_kind_version", "pool_slots", ["pool", "kind", "version"])
    op.create_table(
        "pool_lists",
        sa.Column("pool", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
    )
    op.execute("UPDATE schema_info SET version = 12")
