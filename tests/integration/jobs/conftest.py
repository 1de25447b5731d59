"""Doubles of the services that the jobs call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from integration.jobs.database_faults import dying_before_a_commit, losing_a_commit
from integration.jobs.digest_world import DigestWorld
from integration.jobs.fleet_world import FleetWorld
from integration.jobs.pool_world import PoolWorld
from integration.jobs.sync_world import BERLIN, EMAIL, SyncWorld

from catchup_dev.doubles.google.client import GoogleDouble
from catchup_dev.doubles.google.server import running
from catchup_dev.doubles.smtp import server as smtp_server
from catchup_dev.doubles.twilio import server as twilio_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from catchup_dev.doubles.smtp.server import SmtpDouble
    from catchup_dev.doubles.twilio.server import TwilioServer
    from catchup_jobs.adapters.database.engine import Database


@pytest.fixture(scope="session")
def google_of_session() -> Iterator[GoogleDouble]:
    """One double of Google for the whole session; tests use `google`."""
    with running() as server:
        yield GoogleDouble(server.url)


@pytest.fixture
def google(google_of_session: GoogleDouble) -> GoogleDouble:
    """A double of Google that has forgotten everything."""
    google_of_session.reset()
    return google_of_session


@pytest.fixture
def world(database: Database, google: GoogleDouble, tmp_path: Path) -> SyncWorld:
    """User `ada`, connected to a Google account with an empty primary calendar; on each database in turn."""
    google.add_user(EMAIL, time_zone=BERLIN)
    made = SyncWorld(database, google, tmp_path / "locks")
    made.add_user()
    made.connect()
    return made


@pytest.fixture
def fleet(database: Database, tmp_path: Path) -> FleetWorld:
    """A database without users, on each backend in turn."""
    return FleetWorld(database, tmp_path / "locks")


@pytest.fixture
def pool(database: Database, tmp_path: Path) -> PoolWorld:
    """An empty pool, on each database in turn."""
    return PoolWorld(database, tmp_path / "locks")


@pytest.fixture(params=[dying_before_a_commit, losing_a_commit], ids=["server dies", "reply lost"])
def commit_fails(request: pytest.FixtureRequest, postgresql_url: str) -> Iterator[tuple[Database, Callable[[], None]]]:
    """A PostgreSQL database, and what makes the commit of the transaction that is open fail, or seem to."""
    with request.param(postgresql_url) as given:
        yield given


@pytest.fixture(scope="session")
def twilio_of_session() -> Iterator[TwilioServer]:
    """One double of Twilio for the whole session; tests use `twilio`."""
    with twilio_server.running() as server:
        yield server


@pytest.fixture
def twilio(twilio_of_session: TwilioServer) -> TwilioServer:
    """A double of Twilio that has forgotten everything."""
    twilio_of_session.control.reset()
    return twilio_of_session


@pytest.fixture(scope="session")
def mail_of_session() -> Iterator[SmtpDouble]:
    """One mail server for the whole session; tests use `mail`."""
    with smtp_server.running() as double:
        yield double


@pytest.fixture
def mail(mail_of_session: SmtpDouble) -> SmtpDouble:
    """A mail server that has forgotten everything."""
    mail_of_session.control.reset()
    return mail_of_session


@pytest.fixture
def digest_world(database: Database, twilio: TwilioServer, mail: SmtpDouble, tmp_path: Path) -> DigestWorld:
    """User `ada`, reachable by SMS and, as a fallback, by email, without suggestions; on each database in turn."""
    made = DigestWorld(database, twilio, mail, tmp_path / "locks")
    made.add_user()
    made.reach()
    return made
