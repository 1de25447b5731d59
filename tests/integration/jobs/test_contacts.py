"""Importing contacts, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from integration.jobs.database_faults import statements
from integration.jobs.test_users import user
from sqlalchemy import insert, select

from catchup_jobs.adapters.database.people.users import DatabaseUsers
from catchup_jobs.adapters.database.schema import (
    contact_groups,
    contact_tags,
    contacts,
    interactions,
    suggestions,
    users,
)
from catchup_jobs.domain.people.contacts import Contact
from catchup_jobs.domain.stored_enums import Frequency, Mode, SuggestionStatus, Trigger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catchup_jobs.adapters.database.engine import Database

NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
BEN = Contact(
    "c-1",
    "Ben",
    Frequency.WEEKLY,
    tags=("climbing", "IRL preferred"),
    groups=("Close Friends", "Work"),
    city="Berlin",
    time_zone="Europe/Berlin",
    interactions=(NOW - timedelta(days=9), NOW - timedelta(days=3)),
)
CLEO = Contact("c-2", "Cleo", created_at=NOW - timedelta(days=300))


def bring(database: Database, people: Sequence[Contact] | None, *, now: datetime = NOW, user_id: str = "ada") -> None:
    given = {} if people is None else {user_id: people}
    DatabaseUsers(database).import_all([user(user_id)], now=now, contacts=given)


def stored(database: Database) -> dict[str, Contact]:
    """Return the contacts as they would be imported, by external id."""
    found = {}
    with database.read() as connection:
        for row in connection.execute(select(contacts).order_by(contacts.c.id)):

            def values(column: Any, row: Any = row) -> tuple[Any, ...]:
                statement = select(column).where(column.table.c.contact_id == row.id).order_by(column)
                return tuple(connection.execute(statement).scalars())

            found[row.external_id] = Contact(
                row.external_id,
                row.name,
                row.frequency,
                tags=tuple(sorted(values(contact_tags.c.tag), reverse=True)),
                groups=values(contact_groups.c.name),
                city=row.city,
                time_zone=row.time_zone,
                excluded=row.excluded,
                archived=row.archived,
                created_at=row.created_at,
                interactions=values(interactions.c.occurred_at),
            )
    return found


def test_imported_contacts_come_back_whole(database: Database) -> None:
    bring(database, [BEN, CLEO])
    assert stored(database) == {"c-1": replace(BEN, created_at=NOW), "c-2": replace(CLEO, interactions=())}


def test_a_second_import_makes_the_contacts_be_those_of_the_file(database: Database) -> None:
    bring(database, [BEN])
    changed = replace(BEN, name="Benjamin", frequency=None, tags=("chess",), groups=(), city=None, time_zone=None)
    bring(database, [changed, CLEO], now=LATER)
    assert stored(database)["c-1"] == replace(changed, created_at=NOW)
    assert set(stored(database)) == {"c-1", "c-2"}


def test_a_file_without_contacts_leaves_contacts_alone(database: Database) -> None:
    bring(database, [BEN])
    before = stored(database)
    bring(database, None, now=LATER)
    assert stored(database) == before


def test_a_contact_without_a_log_in_the_file_keeps_its_log_and_an_empty_one_clears_it(database: Database) -> None:
    bring(database, [BEN])
    bring(database, [replace(BEN, interactions=None)], now=LATER)
    assert stored(database)["c-1"].interactions == BEN.interactions
    bring(database, [replace(BEN, interactions=())], now=LATER)
    assert stored(database)["c-1"].interactions == ()


def test_a_contact_that_is_missing_in_the_file_is_archived_and_comes_back_with_it(database: Database) -> None:
    bring(database, [BEN, CLEO])
    bring(database, [CLEO], now=LATER)
    assert {key: contact.archived for key, contact in stored(database).items()} == {"c-1": True, "c-2": False}
    bring(database, [BEN, CLEO], now=LATER)
    assert not stored(database)["c-1"].archived


def test_suggestions_stay_with_their_contacts(database: Database) -> None:
    bring(database, [BEN, CLEO])
    with database.write() as connection:
        contact_id = connection.execute(select(contacts.c.id).where(contacts.c.external_id == "c-1")).scalar_one()
        values = {
            "user_id": "ada",
            "contact_id": contact_id,
            "trigger": Trigger.TIME_BOUND,
            "status": SuggestionStatus.PENDING,
            "mode": Mode.CALL,
            "start_at": LATER,
            "end_at": LATER + timedelta(hours=1),
            "reasoning": "-",
            "created_at": NOW,
            "updated_at": NOW,
        }
        connection.execute(insert(suggestions), values)
    for file in ([replace(BEN, name="Benny"), CLEO], [CLEO], [BEN, CLEO]):
        bring(database, file, now=LATER)
        with database.read() as connection:
            assert connection.execute(select(suggestions.c.contact_id)).scalars().all() == [contact_id]


def test_contacts_of_another_user_with_the_same_ids_are_others(database: Database) -> None:
    bring(database, [BEN])
    bring(database, [replace(BEN, name="Other")], user_id="bob")
    bring(database, [], user_id="bob")
    with database.read() as connection:
        rows = connection.execute(select(contacts.c.user_id, contacts.c.name, contacts.c.archived)).all()
    assert sorted(tuple(row) for row in rows) == [("ada", "Ben", False), ("bob", "Other", True)]


@pytest.mark.parametrize("count", [0, 1, 1200])
def test_the_number_of_statements_does_not_grow_with_the_contacts_but_by_chunks(database: Database, count: int) -> None:
    people = [replace(BEN, external_id=f"c-{number}") for number in range(count)]
    bring(database, people)
    with statements(database) as seen:
        bring(database, people, now=LATER)
    assert len(stored(database)) == count
    assert len(seen) <= 11 + 4 * (count // 500 + 1)


def test_an_import_voids_what_was_planned_from_older_facts(database: Database) -> None:
    bring(database, [BEN])
    with database.read() as connection:
        before = connection.execute(select(users.c.planning_version)).scalar_one()
    bring(database, [BEN], now=LATER)
    with database.read() as connection:
        assert connection.execute(select(users.c.planning_version)).scalar_one() == before + 1
