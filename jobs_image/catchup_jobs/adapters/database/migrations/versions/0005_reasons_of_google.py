"""The reasons `daily_limit` and `calendar_unreadable` of runs.

Revision ID: 0005
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_REASONS = (
    "partial",
    "reconnect",
    "not_connected",
    "not_configured",
    "locked",
    "already_done",
    "terminated",
    "deadline",
    "unavailable",
    "budget_spent",
    "bad_data",
    "unknown_user",
    "misconfigured",
    "crashed",
    "calendar_stale",
    "calendar_unreadable",
    "daily_limit",
    "paused",
    "empty",
    "late",
    "not_due",
    "no_channel",
    "quiet_hours",
    "undelivered",
    "unconfirmed",
)


def upgrade() -> None:
    """Add reasons: older code goes on working."""
    names = ", ".join(f"'{reason}'" for reason in _REASONS)
    for table in ("runs", "dead_letters"):
        with op.batch_alter_table(table) as batch:
            batch.drop_constraint("reason", type_="check")
            batch.create_check_constraint("reason", f"reason IN ({names})")
    op.execute("UPDATE schema_info SET version = 5")
