"""Comparing a column with values that never change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import or_

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement


def is_one_of(column: ColumnElement[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """Return whether a column has one of these values, of which there is at least one and which can be sorted.

    Not by IN, whose list SQLAlchemy writes into the statement's text at each execution.
    """
    return or_(*(column == value for value in sorted(values)))
