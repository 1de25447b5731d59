"""Doubles of the services that the jobs call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from integration.jobs.fleet_world import FleetWorld
from integration.jobs.sync_world import BERLIN, EMAIL, SyncWorld

from catchup_dev.doubles.google.client import GoogleDouble
from catchup_dev.doubles.google.server import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
