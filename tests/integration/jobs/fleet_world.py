"""Users with contacts and calendars in a database, and the suggestion job around them, with a clock that tests turn."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sqlalchemy import delete, func, insert, select, update

from catchup_contract.digest_rule import DigestDay
from catchup_contract.kinds import SUGGESTIONS
from catchup_jobs.adapters.database.people.contacts import import_contacts
from catchup_jobs.adapters.database.runs.store import DatabaseRunStore
from catchup_jobs.adapters.database.schema import (
    calendars,
    contacts,
    events,
    oauth_tokens,
    runs,
    suggestions,
    users,
)
from catchup_jobs.adapters.database.suggestions.store import DatabaseSuggestionStore
from catchup_jobs.adapters.files.locks import FileLocks
from catchup_jobs.domain.people.contacts import Contact
from catchup_jobs.domain.planning.options import PlanningOptions, Strategy
from catchup_jobs.domain.stored_enums import EventStatus, Mode, Provider, SuggestionStatus, TokenState, Trigger
from catchup_jobs.jobs.run.endings import Report
from catchup_jobs.jobs.run.execution import run_job
from catchup_jobs.jobs.run.ports import Process, Run
from catchup_jobs.jobs.suggestions.job import FleetSuggestions, NoProgressReporter, UserSuggestions
from catchup_jobs.jobs.suggestions.reading import Shard

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from catchup_jobs.adapters.database.engine import Database

BERLIN = "Europe/Berlin"
# A Monday noon in Berlin.
NOW = datetime(2026, 11, 23, 11, tzinfo=UTC)


def at(text: str, zone: str = BERLIN) -> datetime:
    """Return the instant of a local time of November 2026, such as `24 10:00`."""
    return datetime.fromisoformat(f"2026-11-{text}").replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def person(name: str = "Ben", days: float | None = 42, *, now: datetime = NOW, **named: Any) -> Contact:
    """Return a contact not seen for so many days; None: never, known for 1000."""
    met = () if days is None else (now - timedelta(days=days),)
    values: dict[str, Any] = {"interactions": met, "created_at": now - timedelta(days=1000)}
    return Contact(name.lower(), name, **values | named)


@dataclass
class FleetWorld:
    """A database of users."""

    database: Database
    lock_directory: Path
    now: datetime = NOW
    # Times of most tests are told by the simpler strategy.
    options: PlanningOptions = PlanningOptions(Strategy.EARLIEST)  # noqa: RUF009 - immutable
    stopping: bool = False
    slept: list[float] = field(default_factory=list)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.store: Any = DatabaseSuggestionStore(self.database)
        self.board: Any = NoProgressReporter()

    # What there is -----------------------------------------------------------------------------------------------

    def add_users(self, ids: Sequence[str], **values: Any) -> None:
        """Add users who are connected, with one calendar that was just synced."""
        row = {
            "name": "Ada",
            "time_zone": BERLIN,
            "digest_day": DigestDay.SUNDAY,
            "digest_time": time(9),
            "sync_every": "30m",
            "created_at": self.now,
            "updated_at": self.now,
            **values,
        }
        token = {
            "provider": Provider.GOOGLE,
            "key_id": "k",
            "ciphertext": b"",
            "state": TokenState.ACTIVE,
            "version": 1,
            "updated_at": self.now,
        }
        calendar = {
            "google_id": "primary",
            "summary": "Ada",
            "is_primary": True,
            "access_role": "owner",
            "selected": True,
            "horizon_end": self.now + timedelta(days=45),
            "last_full_sync_at": self.now,
            "last_success_at": self.now,
        }
        if not ids:
            return
        with self.database.write() as connection:
            connection.execute(insert(users), [{"id": user_id, **row} for user_id in ids])
            connection.execute(insert(oauth_tokens), [{"user_id": user_id, **token} for user_id in ids])
            connection.execute(insert(calendars), [{"user_id": user_id, **calendar} for user_id in ids])

    def add_user(self, user_id: str = "ada", people: Sequence[Contact] = (), **values: Any) -> None:
        self.add_users([user_id], **values)
        self.know(user_id, people)

    def know(self, user_id: str, people: Sequence[Contact]) -> None:
        """Make these the user's contacts, as an import would."""
        with self.database.write() as connection:
            connection.execute(
                update(users).where(users.c.id == user_id).values(planning_version=users.c.planning_version + 1)
            )
            import_contacts(connection, user_id, people, now=self.now)

    def add_contacts(self, ids: Sequence[str], each: int = 1, days: float = 42) -> None:
        """Add to each user so many contacts never met, known for so many days."""
        known = self.now - timedelta(days=days)
        row = {"name": "Ben", "created_at": known, "updated_at": self.now}
        rows = [{"user_id": user_id, "external_id": f"c{number}", **row} for user_id in ids for number in range(each)]
        if rows:
            with self.database.write() as connection:
                connection.execute(insert(contacts), rows)

    def add_event(
        self,
        start: datetime | None,
        end: datetime | None,
        *,
        user_id: str = "ada",
        event_id: str | None = None,
        **values: Any,
    ) -> str:
        """Add an event to the user's first calendar, as it is stored; return its id."""
        name = event_id or f"e{next(self._numbers)}"
        row = {"google_id": name, "status": EventStatus.CONFIRMED, "busy": True, "start_at": start, "end_at": end}
        with self.database.write() as connection:
            calendar = select(func.min(calendars.c.id)).where(calendars.c.user_id == user_id).scalar_subquery()
            connection.execute(insert(events).values(calendar_id=calendar, **row | values))
        return name

    def change(self, table: Any, **values: Any) -> None:
        """Change all rows of a table."""
        with self.database.write() as connection:
            connection.execute(update(table).values(**values))

    def delete_user(self, user_id: str) -> None:
        with self.database.write() as connection:
            connection.execute(delete(users).where(users.c.id == user_id))

    def add_suggestion(self, start: datetime, end: datetime, contact: str = "ben", **values: Any) -> int:
        """Store a suggestion of user ada as if an earlier run had made it; return its id."""
        with self.database.write() as connection:
            known = connection.execute(
                select(contacts.c.id, contacts.c.user_id).where(contacts.c.external_id == contact)
            ).one()
            row = {
                "user_id": known.user_id,
                "contact_id": known.id,
                "trigger": Trigger.TIME_BOUND,
                "status": SuggestionStatus.PENDING,
                "mode": Mode.EITHER,
                "start_at": start,
                "end_at": end,
                "reasoning": "because",
                "created_at": self.now - timedelta(days=2),
                "updated_at": self.now - timedelta(days=2),
            }
            made = connection.execute(insert(suggestions).values(**row | values))
            key = made.inserted_primary_key
            assert key is not None
            return int(key[0])

    # What happens ------------------------------------------------------------------------------------------------

    def run(
        self,
        *,
        shard: Shard | None = None,
        batch_size: int = 50,
        after: str = "",
        slot: datetime | None = None,
        user_id: str | None = None,
        process_id: str | None = None,
    ) -> Report:
        """Run the job as the command line does, with this world's clock; waits only turn the clock."""
        part = shard or Shard()
        body = FleetSuggestions(self.store, self.board, part, batch_size, after, self.options)
        number = next(self._numbers)
        return run_job(
            UserSuggestions(self.store, user_id, self.options) if user_id else body,
            Run(SUGGESTIONS, f"user:{user_id}" if user_id else str(part.index), slot, f"manual-{number}"),
            store=DatabaseRunStore(self.database),
            locks=FileLocks(self.lock_directory),
            process=Process(
                now=lambda: self.now,
                sleep=self._sleep,
                random=lambda: 0.5,
                stopping=lambda: self.stopping,
                process_id=process_id or f"pod-{number}",
            ),
            deadline_seconds=10800,
        )

    def pass_time(self, **duration: float) -> None:
        """Turn the clock; calendars were synced meanwhile."""
        self.now += timedelta(**duration)
        horizon = self.now + timedelta(days=45)
        self.change(calendars, last_success_at=self.now, horizon_end=horizon)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)

    # What came of it ---------------------------------------------------------------------------------------------

    def rows(self, status: SuggestionStatus | None = None) -> list[Any]:
        """Return the suggestions, by user and time."""
        statement = (
            select(suggestions, contacts.c.name, contacts.c.external_id)
            .join(contacts, contacts.c.id == suggestions.c.contact_id)
            .order_by(suggestions.c.user_id, suggestions.c.start_at, suggestions.c.id)
        )
        if status is not None:
            statement = statement.where(suggestions.c.status == status)
        with self.database.read() as connection:
            return list(connection.execute(statement))

    def shown(self, zone: str = BERLIN) -> list[str]:
        """Return the suggestions as `ben pending 23 14:00-15:00`, or with why they expired."""
        local = ZoneInfo(zone)
        return [
            f"{row.external_id} {row.expiry_reason or row.status} "
            f"{row.start_at.astimezone(local):%d %H:%M}-{row.end_at.astimezone(local):%H:%M}"
            for row in self.rows()
        ]

    def run_row(self, subject: str = "0") -> Any:
        """Return the latest run of a shard."""
        statement = select(runs).where(runs.c.subject == subject).order_by(runs.c.started_at.desc())
        with self.database.read() as connection:
            return connection.execute(statement).first()


def counts(report: Report) -> dict[str, int]:
    """Return a run's counts without zeros."""
    return {count.value: number for count, number in report.summary.counts.items() if number}
