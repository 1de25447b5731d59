"""The tables. Instants are UTC; local times and dates have no zone and are meant in the user's.

A change here needs a migration in `migrations/versions` and `SCHEMA_VERSION` raised with it; a test compares the two.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Time,
    UniqueConstraint,
    false,
)

from catchup_jobs.adapters.database.types import UtcDateTime, row_id, text_enum, user_id
from catchup_jobs.contract import Job, Reason
from catchup_jobs.domain.vocabulary import (
    CalendarError,
    DigestDay,
    EventStatus,
    Provider,
    RunState,
    TokenState,
    Weekday,
)

# The newest migration's number: what this code needs at least, and what `schema_info.min_code` is compared with.
SCHEMA_VERSION: Final = 1

# Deterministic names, so that a migration can name the constraint that it changes.
NAMING_CONVENTION: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

metadata: Final = MetaData(naming_convention=NAMING_CONVENTION)


def _of_user(*, primary_key: bool = False) -> Column[str]:
    return Column(
        "user_id",
        user_id(),
        ForeignKey("users.id", ondelete="CASCADE"),
        nullable=False,
        primary_key=primary_key,
    )


# One row. `version` is the newest migration applied; code whose SCHEMA_VERSION is below `min_code` must not run.
schema_info: Final = Table(
    "schema_info",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("min_code", Integer, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

# `schedule_seen_at`: when a pod last copied the UserSchedule's values here; null for a user without one.
users: Final = Table(
    "users",
    metadata,
    Column("id", user_id(), primary_key=True),
    Column("name", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("digest_day", text_enum(DigestDay, "digest_day"), nullable=False),
    Column("digest_time", Time, nullable=False),
    Column("sync_every", Text, nullable=False),
    Column("paused", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Column("night_start", Time),
    Column("night_end", Time),
    Column("schedule_seen_at", UtcDateTime),
    Column("availability_computed_at", UtcDateTime),
    Column("availability_horizon_end", UtcDateTime),
    Column("availability_fingerprint", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    CheckConstraint("(night_start IS NULL) = (night_end IS NULL)", name="night"),
)


# Weekly local times; `end_time` later than `start_time`, or 00:00 for the end of the day.
def _weekly(name: str) -> Table:
    return Table(
        name,
        metadata,
        _of_user(primary_key=True),
        Column("weekday", text_enum(Weekday, "weekday"), primary_key=True),
        Column("start_time", Time, primary_key=True),
        Column("end_time", Time, nullable=False),
    )


manual_blocks: Final = _weekly("manual_blocks")
commute_windows: Final = _weekly("commute_windows")

# `account`: keyed HMAC of the provider's account id, null where unknown. `version`: for compare-and-swap.
oauth_tokens: Final = Table(
    "oauth_tokens",
    metadata,
    _of_user(primary_key=True),
    Column("provider", text_enum(Provider, "provider"), nullable=False),
    Column("account", Text),
    Column("key_id", Text, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("state", text_enum(TokenState, "state"), nullable=False),
    Column("expires_at", UtcDateTime),
    Column("version", Integer, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

# `selected` is the user's choice here, not Google's UI flag. `removed_at`: no longer in Google's list.
calendars: Final = Table(
    "calendars",
    metadata,
    Column("id", row_id(), primary_key=True),
    _of_user(),
    Column("google_id", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("is_primary", Boolean(create_constraint=False), nullable=False),
    Column("access_role", Text, nullable=False),
    Column("time_zone", Text),
    Column("selected", Boolean(create_constraint=False), nullable=False),
    Column("removed_at", UtcDateTime),
    Column("sync_token", Text),
    Column("params_hash", Text),
    Column("horizon_end", UtcDateTime),
    Column("last_full_sync_at", UtcDateTime),
    Column("last_success_at", UtcDateTime),
    Column("last_error", text_enum(CalendarError, "last_error")),
    UniqueConstraint("user_id", "google_id"),
)

# Timed events have instants, all-day events have dates (end exclusive), never both.
events: Final = Table(
    "events",
    metadata,
    Column("id", row_id(), primary_key=True),
    Column("calendar_id", row_id(), ForeignKey("calendars.id", ondelete="CASCADE"), nullable=False),
    Column("google_id", Text, nullable=False),
    Column("status", text_enum(EventStatus, "status"), nullable=False),
    Column("busy", Boolean(create_constraint=False), nullable=False),
    Column("start_at", UtcDateTime),
    Column("end_at", UtcDateTime),
    Column("start_date", Date),
    Column("end_date", Date),
    Column("summary", Text),
    Column("description", Text),
    Column("location", Text),
    Column("event_type", Text),
    Column("recurring_event_id", Text),
    Column("original_start", Text),
    Column("ical_uid", Text),
    Column("etag", Text),
    Column("updated_at", UtcDateTime),
    UniqueConstraint("calendar_id", "google_id"),
    CheckConstraint(
        "(start_at IS NOT NULL AND end_at IS NOT NULL AND start_date IS NULL AND end_date IS NULL)"
        " OR (start_at IS NULL AND end_at IS NULL AND start_date IS NOT NULL AND end_date IS NOT NULL)",
        name="timed_or_all_day",
    ),
)

free_slots: Final = Table(
    "free_slots",
    metadata,
    _of_user(primary_key=True),
    Column("start_at", UtcDateTime, primary_key=True),
    Column("end_at", UtcDateTime, nullable=False),
    CheckConstraint("end_at > start_at", name="order"),
)

# `subject`: the user's id or a shard; not a foreign key, since a run of an unknown user is recorded too.
# `owner`: the process that holds the run; writes of any other are stale and refused (see `runs.check_fence`).
runs: Final = Table(
    "runs",
    metadata,
    Column("run_key", Text, primary_key=True),
    Column("kind", text_enum(Job, "kind"), nullable=False),
    Column("subject", user_id(), nullable=False),
    Column("slot", UtcDateTime),
    Column("state", text_enum(RunState, "state"), nullable=False),
    Column("reason", text_enum(Reason, "reason")),
    Column("attempts", Integer, nullable=False),
    Column("owner", Text),
    Column("lease_until", UtcDateTime),
    Column("checkpoint", JSON(none_as_null=True)),
    Column("counts", JSON(none_as_null=True)),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Index(None, "kind", "subject", "started_at"),
    Index(None, "lease_until"),
)

dead_letters: Final = Table(
    "dead_letters",
    metadata,
    Column("run_key", Text, primary_key=True),
    Column("kind", text_enum(Job, "kind"), nullable=False),
    Column("subject", user_id(), nullable=False),
    Column("slot", UtcDateTime),
    Column("reason", text_enum(Reason, "reason"), nullable=False),
    Column("error_class", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)
