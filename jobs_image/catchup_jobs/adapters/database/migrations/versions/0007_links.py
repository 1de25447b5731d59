"""Row ids that are never used again, and the key that signed a message's links.

SQLite gives the id of a deleted row to another one, unless the table says AUTOINCREMENT: a link in a message would then
act on somebody else. PostgreSQL's sequences never do.

Revision ID: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables anew in SQLite, and add a column: older code goes on working."""
    op.add_column("deliveries", sa.Column("signed_by", sa.Text()))
    if op.get_bind().dialect.name == "sqlite":
        for table in ("contacts", "suggestions", "digests", "deliveries"):
            with op.batch_alter_table(table, recreate="always", table_kwargs={"sqlite_autoincrement": True}):
                pass
    op.execute("UPDATE schema_info SET version = 7")
