"""Members of pools, and when each is due."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, Table, Text, Time, column, false
from sqlalchemy.sql.elements import ColumnElement

from catchup_contract.digest_rule import DigestDay
from catchup_contract.kinds import KINDS
from catchup_jobs.adapters.database.schema.base import metadata, of_user
from catchup_jobs.adapters.database.types import ContractEnum, RecordName, UtcDateTime, user_id

# Users of the database who asked for a pool. `since`: digests that fell due before are not caught up on.
pool_enrolments: Final = Table(
    "pool_enrolments",
    metadata,
    of_user(primary_key=True),
    Column("pool", Text, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Index(None, "pool"),
)

_LEAVING: Final[ColumnElement[bool]] = column("leaving", Boolean)
_IS_UNFINISHED: Final = column("unfinished").is_not(None)

# Whom pools serve: enrolled users whom no UserSchedule names, and users of UserSchedules that name a pool.
# `uid`, `generation`: of the UserSchedule; null for an enrolled user, as what follows but `sync_every`, which is the
# pool's: the user's row says when.
# `digest_since`: digests that fell due before are not caught up on.
# `suspended_until`: nothing that falls due before is served.
# `leaving`: others serve the user by now, and the pool ends what was due before.
pool_members: Final = Table(
    "pool_members",
    metadata,
    of_user(primary_key=True),
    Column("pool", Text, nullable=False),
    Column("digest_since", UtcDateTime),
    Column("uid", Text),
    Column("generation", Integer),
    Column("time_zone", Text),
    Column("digest_day", ContractEnum(DigestDay, "digest_day")),
    Column("digest_time", Time),
    Column("sync_every", Text),
    Column("suspended_until", UtcDateTime),
    Column("leaving", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Index(None, "pool"),
    Index("ix_pool_members_leaving", "pool", postgresql_where=_LEAVING, sqlite_where=_LEAVING),
)

# `bucket`: a hash of the user's id, of which the shard is the remainder.
# `priority`: 0 is served first.
# `version`: of what `due_at` was computed from, empty where that has changed.
# `due_at`: when the member is due, or when the present claim ends; null until it is computed.
# `unfinished`: the slot of a run that is tried again.
# `requested_at`: the newest request by hand that is known. `is_requested`: it is not served yet.
# `synced_at`: when the sync began that is the member's last success, null for one who was never synced.
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
    Column("priority", Integer, nullable=False, server_default="1"),
    Column("version", Text, nullable=False, server_default=""),
    Column("due_at", UtcDateTime),
    Column("unfinished", UtcDateTime),
    Column("requested_at", UtcDateTime),
    Column("is_requested", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Column("synced_at", UtcDateTime),
    Column("owner", Text),
    Column("deaths", Integer, nullable=False, server_default="0"),
    Index(None, "pool", "kind", "due_at"),
    Index(None, "pool", "kind", "version"),
    Index(None, "pool", "kind", "synced_at"),
    Index("ix_pool_slots_unfinished", "unfinished", postgresql_where=_IS_UNFINISHED, sqlite_where=_IS_UNFINISHED),
)

# The list of UserSchedules that was applied last (`catchup_contract.schedule_list`): `#`, its order in 15 digits, the
# first letter of where the pool's members are (`?` while the first list is applied), and, unless it is to be applied
# again, its hash; while it is applied, a mark of who does that (`pools.applied`).
pool_lists: Final = Table(
    "pool_lists",
    metadata,
    Column("pool", Text, primary_key=True),
    Column("digest", Text, nullable=False),
)

# When a pod of a pool has run last, within `pools.ticks.NOTED_EVERY`.
pool_ticks: Final = Table(
    "pool_ticks",
    metadata,
    Column("pool", Text, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
)
