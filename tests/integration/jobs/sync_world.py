"""A user with a calendar at the double of Google, a database, and a clock that tests turn."""

from __future__ import annotations

import itertools
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from cryptography.fernet import Fernet
from sqlalchemy import insert, select, update

from catchup_contract.digest_rule import DigestDay
from catchup_contract.kinds import SYNC
from catchup_contract.outcomes import Outcome, Reason
from catchup_jobs.adapters.database.availability.store import DatabaseAvailabilityStore
from catchup_jobs.adapters.database.calendars.selection import DatabaseCalendarSelection
from catchup_jobs.adapters.database.calendars.store import DatabaseCalendarStore
from catchup_jobs.adapters.database.calendars.tokens import DatabaseTokens
from catchup_jobs.adapters.database.runs.store import DatabaseRunStore
from catchup_jobs.adapters.database.schema import calendars, events, free_slots, oauth_tokens, runs, users
from catchup_jobs.adapters.encryption import Encryption
from catchup_jobs.adapters.files.locks import FileLocks
from catchup_jobs.adapters.google.calendar_api import CalendarService, GoogleCalendar
from catchup_jobs.adapters.google.http import Http
from catchup_jobs.adapters.google.oauth import GoogleOAuth
from catchup_jobs.domain.calendar.access_token import OAuthToken
from catchup_jobs.domain.planning.options import PlanningOptions, Strategy
from catchup_jobs.domain.stored_enums import TokenState
from catchup_jobs.jobs.run.endings import Report
from catchup_jobs.jobs.run.execution import run_job
from catchup_jobs.jobs.run.ports import Process, Run
from catchup_jobs.jobs.sync.job import CalendarSync, Google

if TYPE_CHECKING:
    from pathlib import Path

    from catchup_dev.doubles.google.client import GoogleDouble
    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.jobs.sync.ports import RequestQuota

ADA = "ada"
EMAIL = "ada@example.com"
CLIENT_ID = "catchup-double"
CLIENT_SECRET = "catchup-double-secret"
BERLIN = "Europe/Berlin"
# A Monday noon in Berlin.
NOW = datetime(2026, 11, 23, 11, tzinfo=UTC)


@dataclass
class SyncWorld:
    """One user `ada`, whose Google account is `ada@example.com`."""

    database: Database
    google: GoogleDouble
    lock_directory: Path
    now: datetime = NOW
    slept: list[float] = field(default_factory=list)
    quota: RequestQuota | None = None
    client_id: str | None = CLIENT_ID
    client_secret: str = CLIENT_SECRET
    socket_timeout: float = 5
    key: str = field(default_factory=lambda: Fernet.generate_key().decode())
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.tokens = DatabaseTokens(self.database, Encryption([self.key]))
        self.calendars = DatabaseCalendarStore(self.database, PlanningOptions(Strategy.EARLIEST))
        self.selection = DatabaseCalendarSelection(self.database, PlanningOptions(Strategy.EARLIEST))
        self.availability = DatabaseAvailabilityStore(self.database)

    # What there is ---------------------------------------------------------------------------------------------

    def add_user(self, user_id: str = ADA, *, time_zone: str = BERLIN) -> None:
        values = {
            "id": user_id,
            "name": "Ada",
            "time_zone": time_zone,
            "digest_day": DigestDay.SUNDAY,
            "digest_time": datetime.min.time(),
            "sync_every": "30m",
            "created_at": self.now,
            "updated_at": self.now,
        }
        with self.database.write() as connection:
            connection.execute(insert(users), values)

    def connect(self, user_id: str = ADA, email: str = EMAIL, *, expires_in: timedelta = timedelta(hours=1)) -> None:
        """Store a token that Google's double gave."""
        document = self.google.grant(email)
        token = OAuthToken(document["refresh_token"], document["token"], self.now + expires_in)
        self.tokens.connect(user_id, token, now=self.now)

    def add_event(self, event_id: str, at: str, *, calendar: str = EMAIL, **named: Any) -> None:
        """Add an event at the double, by Berlin's time; the title is the canary of the tests of logs."""
        self.google.add_event(calendar, event_id, title="Canary title", at=at, **named)

    def add_calendar(self, google_id: str, *, selected: bool = True) -> None:
        """Add a calendar at the double; select it after a sync has listed it."""
        self.google.add_calendar(EMAIL, google_id, time_zone=BERLIN)
        if selected:
            self.forget_list()
            self.sync()
            self.select(google_id)

    def select(self, google_id: str, *, selected: bool = True) -> None:
        assert self.selection.select(ADA, google_id, selected=selected, now=self.now)

    # What happens ----------------------------------------------------------------------------------------------

    def sync(self, user_id: str = ADA, *, full: bool = False, manual_id: str | None = None) -> Report:
        """Run the job as the command line does, with this world's clock; waits only turn the clock."""
        with ExitStack() as opened:
            body = CalendarSync(
                google=partial(self._google, opened),
                tokens=self.tokens,
                calendars=self.calendars,
                availability=self.availability,
                full=full,
            )
            return run_job(
                body,
                Run(SYNC, user_id, None, manual_id or f"manual-{next(self._numbers)}"),
                store=DatabaseRunStore(self.database),
                locks=FileLocks(self.lock_directory),
                process=Process(
                    now=lambda: self.now,
                    sleep=self._sleep,
                    random=lambda: 0.5,
                    stopping=lambda: False,
                    process_id=f"pod-{next(self._numbers)}",
                ),
                deadline_seconds=600,
            )

    def forget_list(self) -> None:
        """Let the next sync read the calendar list, as the first one of a day does."""
        with self.database.write() as connection:
            connection.execute(update(oauth_tokens).values(calendars_listed_at=None))

    def pass_time(self, **duration: float) -> None:
        self.now += timedelta(**duration)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)

    def _google(self, opened: ExitStack) -> Google | None:
        if self.client_id is None:
            return None
        clock = partial(getattr, self, "now")
        http = partial(Http, timeout=self.socket_timeout)
        service = opened.enter_context(closing(CalendarService(self.google.api_endpoint, http=http())))
        return Google(
            GoogleOAuth(self.client_id, self.client_secret, now=clock, token_uri=self.google.token_uri, http=http()),
            lambda tokens, turn: GoogleCalendar(service, tokens, turn, now=clock),
            self.quota,
        )

    # What came of it -------------------------------------------------------------------------------------------

    def stored_events(self, calendar: str = EMAIL) -> dict[str, Any]:
        """Return a calendar's stored events by id."""
        statement = select(events).join(calendars).where(calendars.c.google_id == calendar)
        with self.database.read() as connection:
            return {row.google_id: row for row in connection.execute(statement)}

    def calendar(self, google_id: str = EMAIL) -> Any:
        """Return a calendar's row."""
        with self.database.read() as connection:
            return connection.execute(select(calendars).where(calendars.c.google_id == google_id)).one()

    def token_row(self) -> Any:
        with self.database.read() as connection:
            return connection.execute(select(oauth_tokens)).one()

    def token(self) -> OAuthToken:
        kept = self.tokens.load(ADA)
        assert kept is not None
        return kept.token

    def token_state(self) -> TokenState:
        state: TokenState = self.token_row().state
        return state

    def user(self, **values: Any) -> Any:
        """Change the user's row if values are given, and return it."""
        with self.database.write() as connection:
            if values:
                connection.execute(update(users).values(**values))
            return connection.execute(select(users)).one()

    def run_row(self) -> Any:
        """Return the latest run's row."""
        with self.database.read() as connection:
            return connection.execute(select(runs).order_by(runs.c.started_at.desc())).first()

    def free(self, day: str, zone: str = BERLIN) -> list[str]:
        """Return the free slots of a local date as `09:00-21:00`."""
        local = ZoneInfo(zone)
        with self.database.read() as connection:
            rows = connection.execute(select(free_slots).order_by(free_slots.c.start_at)).all()
        spans = [(row.start_at.astimezone(local), row.end_at.astimezone(local)) for row in rows]
        return [f"{start:%H:%M}-{end:%H:%M}" for start, end in spans if f"{start:%Y-%m-%d}" == day]


def outcome(report: Report) -> tuple[int, Outcome, Reason | None]:
    """Return how a run ended."""
    return report.exit_code, report.summary.outcome, report.summary.reason
