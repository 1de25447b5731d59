"""The tables. Instants are UTC; local times and dates have no zone and are meant in the user's.

A change here needs a migration in `migrations/versions` and `SCHEMA_VERSION` raised with it; a test compares the two.
"""

from __future__ import annotations

from typing import Final

from catchup_jobs.adapters.database.schema.base import NAMING_CONVENTION, metadata
from catchup_jobs.adapters.database.schema.calendar import calendars, events, free_slots
from catchup_jobs.adapters.database.schema.contacts import contact_groups, contact_tags, contacts, interactions
from catchup_jobs.adapters.database.schema.messaging import addresses, consents, deliveries, digests
from catchup_jobs.adapters.database.schema.people import (
    commute_windows,
    manual_blocks,
    oauth_tokens,
    preferred_windows,
    users,
)
from catchup_jobs.adapters.database.schema.pools import (
    pool_enrolments,
    pool_lists,
    pool_members,
    pool_slots,
    pool_ticks,
)
from catchup_jobs.adapters.database.schema.runs import dead_letters, run_counts, runs, schema_info
from catchup_jobs.adapters.database.schema.suggestions import suggestions

# The newest migration's number: what this code needs at least, and what `schema_info.min_code` is compared with.
SCHEMA_VERSION: Final = 17
# Alembic's own default may be the application's, in the same database.
VERSION_TABLE: Final = "catchup_alembic_version"

__all__ = [
    "NAMING_CONVENTION",
    "SCHEMA_VERSION",
    "VERSION_TABLE",
    "addresses",
    "calendars",
    "commute_windows",
    "consents",
    "contact_groups",
    "contact_tags",
    "contacts",
    "dead_letters",
    "deliveries",
    "digests",
    "events",
    "free_slots",
    "interactions",
    "manual_blocks",
    "metadata",
    "oauth_tokens",
    "pool_enrolments",
    "pool_lists",
    "pool_members",
    "pool_slots",
    "pool_ticks",
    "preferred_windows",
    "run_counts",
    "runs",
    "schema_info",
    "suggestions",
    "users",
]
