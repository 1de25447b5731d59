"""Users, their schedules and their hours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select, update

from catchup_contract.kinds import SYNC
from catchup_jobs.adapters.database.chunks import CHUNK, chunks
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.people.addresses import DatabaseAddresses
from catchup_jobs.adapters.database.people.contacts import import_contacts
from catchup_jobs.adapters.database.people.hours import WINDOWS, hours_of
from catchup_jobs.adapters.database.pools.edits import note_edits
from catchup_jobs.adapters.database.pools.members import enrol, read_lists_again, reschedule
from catchup_jobs.adapters.database.schedule_columns import (
    copy_schedule,
    own_columns,
    schedule_columns,
    schedule_differs,
)
from catchup_jobs.adapters.database.schema import oauth_tokens, runs, users
from catchup_jobs.domain.digest.addresses import GivenAddress
from catchup_jobs.domain.people.contacts import Contact
from catchup_jobs.domain.people.users import Schedule, User
from catchup_jobs.domain.stored_enums import RunState, TokenState
from catchup_jobs.jobs.run.errors import JobError

AT_ONCE: Final = 50
"""Users whom an import writes in one transaction: until its end, runs of these users wait."""


@dataclass(frozen=True, slots=True)
class Imported:
    """The users of an import, by id.

    Attributes:
        kept_schedule: users whose schedule holds once their UserSchedule is gone.
    """

    created: list[str]
    updated: list[str]
    kept_schedule: list[str]

    def add(self, others: Imported) -> None:
        """Add further users."""
        self.created.extend(others.created)
        self.updated.extend(others.updated)
        self.kept_schedule.extend(others.kept_schedule)


@dataclass(frozen=True, slots=True)
class UserOverview:
    """A user and the state of their calendar.

    Attributes:
        calendar: state of the calendar's token, None for a user who never connected one.
        last_sync_at: when the last stored sync run ended (UTC).
        last_sync_state: its state.
    """

    user: User
    calendar: TokenState | None
    last_sync_at: datetime | None
    last_sync_state: RunState | None


class DatabaseUsers:
    """The users in the database; methods raise `JobError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def import_all(
        self,
        people: Sequence[User],
        *,
        now: datetime,
        contacts: Mapping[str, Sequence[Contact]] | None = None,
        channels: Mapping[str, Sequence[GivenAddress]] | None = None,
        addresses: DatabaseAddresses | None = None,
        pools: Mapping[str, str | None] | None = None,
    ) -> Imported:
        """Create or replace users, in the order of their ids, some in each transaction.

        An import that fails on the way leaves those of earlier transactions imported. It may be made again: whatever is
        there already stays or is replaced by the same.

        Args:
            contacts, channels: by user id; those of other users stay as they are.
            addresses: writes the channels.
            pools: by user id the pool that serves them, None for no pool; other users stay where they are.

        The schedule of a user with a UserSchedule is kept for when that is gone: until then the resource says when.

        Raises:
            JobError: the database cannot be used, or refuses somebody's data; it says how many users were imported.
        """
        details = _Details(self._database, now, contacts or {}, channels or {}, addresses, pools or {})
        # In this order suggestion runs lock users, too: this prevents deadlocks.
        ordered = sorted(people, key=lambda user: user.id)
        imported = Imported([], [], [])
        for start in range(0, len(ordered), AT_ONCE):
            page = ordered[start : start + AT_ONCE]
            try:
                imported.add(self._database.write_anew(partial(_import_page, page, details)))
            except JobError as error:
                if not start:
                    raise
                raise type(error)(
                    f"{error}; {start} of {len(ordered)} users were imported before, in the order of their ids:"
                    " import the same file again",
                    reason=error.reason,
                ) from None
        return imported

    def get(self, user_id: str) -> User | None:
        """Return a user, None for an unknown one."""
        loaded = self.get_many([user_id])
        return loaded[0] if loaded else None

    def get_many(self, user_ids: Iterable[str]) -> list[User]:
        """Return the users with these ids that exist, ordered by id."""
        wanted = sorted(set(user_ids))
        with self._database.read() as connection:
            return [
                user
                for page in chunks(wanted)
                for user, _ in _load(connection, select(users).where(users.c.id.in_(page)))
            ]

    def overviews(self, user_id: str | None = None) -> Iterator[UserOverview]:
        """Yield all users, or one, ordered by id, read in pages."""
        after = ""
        while True:
            statement = (
                select(users, oauth_tokens.c.state.label("token_state"))
                .outerjoin(oauth_tokens, oauth_tokens.c.user_id == users.c.id)
                .where(users.c.id > after, *([] if user_id is None else [users.c.id == user_id]))
                .limit(CHUNK)
            )
            with self._database.read() as connection:
                page = _load(connection, statement)
                syncs = _last_syncs(connection, [user.id for user, _ in page])
            for user, row in page:
                ended_at, state = syncs.get(user.id, (None, None))
                yield UserOverview(user, row.token_state, ended_at, state)
            if len(page) < CHUNK:
                return
            after = page[-1][0].id

    def record_schedule(self, user_id: str, schedule: Schedule, *, now: datetime) -> bool:
        """Copy the UserSchedule's values to the user's row and return whether anything was written.

        Nothing is written where the values are the same, so that a sync without changes stays read-only.
        Returns False for an unknown user.
        """
        with self._database.read() as connection:
            differs = select(users.c.id).where(*schedule_differs(user_id, schedule))
            if connection.execute(differs).one_or_none() is None:
                return False
        with self._database.write() as connection:
            copy_schedule(connection, user_id, schedule, now)
            reschedule(connection, [user_id])
        return True


@dataclass(frozen=True, slots=True)
class _Details:
    """What an import writes of its users beside what they are; see `DatabaseUsers.import_all`."""

    database: Database
    now: datetime
    contacts: Mapping[str, Sequence[Contact]]
    channels: Mapping[str, Sequence[GivenAddress]]
    addresses: DatabaseAddresses | None
    pools: Mapping[str, str | None]


def _import_page(people: Sequence[User], details: _Details, connection: Connection) -> Imported:
    now, ids = details.now, [user.id for user in people]
    imported = _put_people(connection, people, now)
    for user_id in ids:
        if (entries := details.contacts.get(user_id)) is not None:
            import_contacts(connection, user_id, entries, now=now)
        if (given := details.channels.get(user_id)) is not None:
            assert details.addresses is not None  # noqa: S101 - callers with channels pass it
            details.addresses.import_into(connection, user_id, given, now=now)
    reschedule(connection, imported.updated)
    # A UserSchedule's times hold where there is one.
    own = [user_id for user_id in imported.updated if user_id not in imported.kept_schedule]
    note_edits(connection, dict.fromkeys(own, now), now=now)
    enrol(details.database, connection, {id_: details.pools[id_] for id_ in ids if id_ in details.pools}, now=now)
    if imported.created:
        read_lists_again(connection)
    return imported


def _put_people(connection: Connection, people: Sequence[User], now: datetime) -> Imported:
    ids = [user.id for user in people]
    known = connection.execute(select(users.c.id, users.c.schedule_seen_at).where(users.c.id.in_(ids)))
    seen: dict[str, datetime | None] = {row.id: row.schedule_seen_at for row in known}
    new = [user for user in people if user.id not in seen]
    kept = [user for user in people if seen.get(user.id) is not None]
    if new:
        rows = [
            {**_person(user, now), **schedule_columns(user.schedule), "id": user.id, "created_at": now} for user in new
        ]
        connection.execute(insert(users), rows)
    for user in people:
        if user.id in seen:
            schedule = own_columns(user.schedule) if user in kept else schedule_columns(user.schedule)
            values = {**_person(user, now), **schedule, "planning_version": users.c.planning_version + 1}
            connection.execute(update(users).where(users.c.id == user.id).values(**values))
    for field, table in WINDOWS.items():
        connection.execute(delete(table).where(table.c.user_id.in_(ids)))
        windows = [
            {"user_id": user.id, "weekday": window.weekday, "start_time": window.start, "end_time": window.end}
            for user in people
            for window in getattr(user.availability, field)
        ]
        if windows:
            connection.execute(insert(table), windows)
    return Imported(
        [user.id for user in new], [user.id for user in people if user.id in seen], [user.id for user in kept]
    )


def _person(user: User, now: datetime) -> dict[str, Any]:
    night = user.availability.night
    return {
        "name": user.name,
        "city": user.city,
        "paused": user.paused,
        "night_start": night.start if night else None,
        "night_end": night.end if night else None,
        "updated_at": now,
    }


def _load(connection: Connection, statement: Any) -> list[tuple[User, Any]]:
    rows = connection.execute(statement.order_by(users.c.id)).all()
    hours = hours_of(connection, rows)
    return [
        (
            User(
                id=row.id,
                name=row.name,
                city=row.city,
                schedule=Schedule(row.time_zone, row.digest_day, row.digest_time, row.sync_every),
                paused=row.paused,
                availability=hours[row.id],
            ),
            row,
        )
        for row in rows
    ]


def _last_syncs(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[datetime, RunState]]:
    if not ids:
        return {}
    rows = connection.execute(
        select(runs.c.subject, runs.c.finished_at, runs.c.state)
        .where(runs.c.kind == SYNC, runs.c.subject.in_(ids), runs.c.finished_at.is_not(None))
        .order_by(runs.c.finished_at)
    )
    return {row.subject: (row.finished_at, row.state) for row in rows}
