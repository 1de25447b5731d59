"""Kinds of job and channels without CHECKs, and no calendar error `quota`.

The code's tables of kinds and channels say which names there are, so that a new one needs no migration.

Revision ID: 0004
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Drop CHECKs, and one value that no version wrote: older code goes on working."""
    for column, tables in (("kind", ("runs", "dead_letters")), ("channel", ("addresses", "consents", "deliveries"))):
        for table in tables:
            with op.batch_alter_table(table) as batch:
                batch.drop_constraint(column, type_="check")
    op.execute("UPDATE calendars SET last_error = 'unavailable' WHERE last_error = 'quota'")
    with op.batch_alter_table("calendars") as batch:
        batch.drop_constraint("last_error", type_="check")
        batch.create_check_constraint(
            "last_error", "last_error IN ('unavailable', 'forbidden', 'not_found', 'bad_data')"
        )
    op.execute("UPDATE schema_info SET version = 4")
