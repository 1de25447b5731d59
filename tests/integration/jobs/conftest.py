"""Doubles of the services that the jobs call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from catchup_dev.doubles.google.client import GoogleDouble
from catchup_dev.doubles.google.server import running

if TYPE_CHECKING:
    from collections.abc import Iterator


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
