"""How many events of a calendar could not be read.

Revision ID: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column: older code goes on working."""
    op.add_column("calendars", sa.Column("unreadable_events", sa.Integer, nullable=False, server_default="0"))
    op.execute("UPDATE schema_info SET version = 6")
