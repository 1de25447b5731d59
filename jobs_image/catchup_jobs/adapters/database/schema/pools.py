"""Members of pools, and when each is due."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, Table, Text, false

from catchup_contract.kinds import KINDS
from catchup_jobs.adapters.database.schema.base import metadata, of_user
from catchup_jobs.adapters.database.types import RecordName, UtcDateTime, user_id

# The users of the database that are enrolled in a pool. `since`: digests that fell due before are not caught up on.
# `held`: a UserSchedule names the user, so that the pool does not serve them.
pool_members: Final = Table(
    "pool_members",
    metadata,
    of_user(primary_key=True),
    Column("pool", Text, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("held", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Index(None, "pool", "held"),
)

# `bucket`: a hash of the user's id, of which the shard is the remainder.
# `version`: of what `due_at` was computed from, empty where that has changed.
# `due_at`: when the member is due, or when the present claim ends; null until it is computed, and for held members.
# `unfinished`: the slot of a run that is tried again.
# `owner`: the process that has claimed the member. `deaths`: processes that died or crashed in the unfinished run.
pool_slots: Final = Table(
    "pool_slots",
    metadata,
    Column(
        "user_id", user_id(), ForeignKey("pool_members.user_id", ondelete="CASCADE"), nullable=False, primary_key=True
    ),
    Column("kind", RecordName("kind", KINDS), nullable=False, primary_key=True),
    Column("pool", Text, nullable=False),
    Column("bucket", Integer, nullable=False),
    Column("version", Text, nullable=False, server_default=""),
    Column("due_at", UtcDateTime),
    Column("unfinished", UtcDateTime),
    Column("owner", Text),
    Column("deaths", Integer, nullable=False, server_default="0"),
    Index(None, "pool", "kind", "due_at"),
    Index(None, "pool", "kind", "version"),
)

# The hash of the list of UserSchedules by which members are held (`catchup_contract.schedule_list`).
pool_lists: Final = Table(
    "pool_lists",
    metadata,
    Column("pool", Text, primary_key=True),
    Column("digest", Text, nullable=False),
)
