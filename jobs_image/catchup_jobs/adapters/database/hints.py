"""Advice on the schema that several modules print."""

from __future__ import annotations

from typing import Final

MIGRATE_HINT: Final = "run `catchup-jobs db migrate`"
TAKEN: Final = (
    "the database has tables of somebody else under the names that catchup-jobs uses{names}: give it a database of its"
    " own, or a schema by the role's search_path"
)
