"""The schema's own version, runs and dead letters."""

from __future__ import annotations

from typing import Final

from sqlalchemy import JSON, CheckConstraint, Column, Float, Index, Integer, Table, Text, column

from catchup_contract.kinds import KINDS
from catchup_contract.outcomes import Reason
from catchup_jobs.adapters.database.schema.base import metadata
from catchup_jobs.adapters.database.types import ContractEnum, RecordName, UtcDateTime, text_enum, user_id
from catchup_jobs.domain.stored_enums import RunState

_HAS_REASON: Final = column("reason").is_not(None)

# One row. `version` is the newest migration applied; code whose SCHEMA_VERSION is below `min_code` must not run.
schema_info: Final = Table(
    "schema_info",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("min_code", Integer, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

# `subject`: the user's id or a shard; not a foreign key, since a run of an unknown user is recorded too.
# `owner`: the process that owns the run; writes of any other are refused (see `runs.store.check_fence`).
runs: Final = Table(
    "runs",
    metadata,
    Column("run_key", Text, primary_key=True),
    Column("kind", RecordName("kind", KINDS), nullable=False),
    Column("subject", user_id(), nullable=False),
    Column("slot", UtcDateTime),
    Column("state", text_enum(RunState, "state"), nullable=False),
    Column("reason", ContractEnum(Reason, "reason")),
    Column("attempts", Integer, nullable=False),
    Column("owner", Text),
    Column("lease_until", UtcDateTime),
    Column("checkpoint", JSON(none_as_null=True)),
    Column("counts", JSON(none_as_null=True)),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Index(None, "kind", "subject", "started_at"),
    Index(None, "kind", "state", "started_at"),
    Index(None, "lease_until"),
    # Most runs end well and have no reason.
    Index("ix_runs_reason", "kind", "reason", "started_at", postgresql_where=_HAS_REASON, sqlite_where=_HAS_REASON),
)

# Ends of runs in each hour (UTC), since rows of runs are not kept; see `runs.counters`. `reason`: empty for none.
# `stripe`: many pods that end at once do not wait for one row.
run_counts: Final = Table(
    "run_counts",
    metadata,
    Column("hour", UtcDateTime, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("state", Text, primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("stripe", Integer, primary_key=True, autoincrement=False),
    Column("runs", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
)

dead_letters: Final = Table(
    "dead_letters",
    metadata,
    Column("run_key", Text, primary_key=True),
    Column("kind", RecordName("kind", KINDS), nullable=False),
    Column("subject", user_id(), nullable=False),
    Column("slot", UtcDateTime),
    Column("reason", ContractEnum(Reason, "reason"), nullable=False),
    Column("error_class", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    # After an outage there are many, for 90 days, and they are counted by these.
    Index(None, "kind", "reason"),
)
