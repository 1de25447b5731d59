"""Which digests ask to connect the calendar again.

Revision ID: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column with a default: older code goes on working."""
    op.add_column(
        "digests",
        sa.Column("reconnect", sa.Boolean(create_constraint=False), nullable=False, server_default=sa.false()),
    )
    op.execute("UPDATE schema_info SET version = 9")
