"""Alembic's entry point: it runs on the connection that `migrate.upgrade` hands over."""

from __future__ import annotations

from alembic import context

from catchup_jobs.adapters.database.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
    compare_server_default=False,
)
# The transaction is the caller's: all migrations of one upgrade are applied, or none.
context.run_migrations()
