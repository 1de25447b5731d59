"""Users, their hours, their tokens."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, CheckConstraint, Column, Index, Integer, LargeBinary, Table, Text, Time, false

from catchup_contract.digest_rule import DigestDay
from catchup_jobs.adapters.database.schema.base import metadata, of_user
from catchup_jobs.adapters.database.types import ContractEnum, UtcDateTime, text_enum, user_id
from catchup_jobs.domain.stored_enums import Provider, TokenState, Weekday

# `schedule_seen_at`: when a pod last copied the UserSchedule's values here; null for a user without one.
# `own_…`: the user's own schedule, as it was imported, while a UserSchedule's values stand here; null otherwise.
# `planning_version`: raised, under this row's lock, by each change of events, hours, contacts or suggestions; a plan
# made from an older version is repeated.
users: Final = Table(
    "users",
    metadata,
    Column("id", user_id(), primary_key=True),
    Column("name", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("digest_day", text_enum(DigestDay, "digest_day"), nullable=False),
    Column("digest_time", Time, nullable=False),
    Column("sync_every", Text, nullable=False),
    Column("own_time_zone", Text),
    Column("own_digest_day", ContractEnum(DigestDay, "digest_day")),
    Column("own_digest_time", Time),
    Column("own_sync_every", Text),
    Column("city", Text),
    Column("paused", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Column("night_start", Time),
    Column("night_end", Time),
    Column("schedule_seen_at", UtcDateTime),
    Column("availability_computed_at", UtcDateTime),
    Column("availability_horizon_end", UtcDateTime),
    Column("availability_fingerprint", Text),
    Column("planning_version", Integer, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    CheckConstraint("(night_start IS NULL) = (night_end IS NULL)", name="night"),
)


# Weekly local times; `end_time` later than `start_time`, or 00:00 for the end of the day.
def _weekly(name: str) -> Table:
    return Table(
        name,
        metadata,
        of_user(primary_key=True),
        Column("weekday", text_enum(Weekday, "weekday"), primary_key=True),
        Column("start_time", Time, primary_key=True),
        Column("end_time", Time, nullable=False),
    )


manual_blocks: Final = _weekly("manual_blocks")
commute_windows: Final = _weekly("commute_windows")
preferred_windows: Final = _weekly("preferred_windows")

# `account`: keyed HMAC of the provider's account id, null where unknown. `version`: for compare-and-swap.
# `calendars_listed_at`: when the list of calendars was read with this grant, null where it never was.
oauth_tokens: Final = Table(
    "oauth_tokens",
    metadata,
    of_user(primary_key=True),
    Column("provider", text_enum(Provider, "provider"), nullable=False),
    Column("account", Text),
    Column("key_id", Text, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("state", text_enum(TokenState, "state"), nullable=False),
    Column("expires_at", UtcDateTime),
    Column("version", Integer, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("calendars_listed_at", UtcDateTime),
    Index(None, "state"),
)
