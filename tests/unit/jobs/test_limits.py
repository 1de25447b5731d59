"""Limits that hold only beside others."""

from __future__ import annotations

import pytest

from catchup_jobs.adapters.database.suggestions.bounded import MOST_ROWS
from catchup_jobs.adapters.files.contact_file import _MAX_CONTACTS
from catchup_jobs.adapters.google.calendar_api import _EVENT_PARAMETERS, MOST_PAGES
from catchup_jobs.adapters.messaging import smtp_email, twilio_http
from catchup_jobs.jobs.digest.due_digest import LEASE
from catchup_jobs.jobs.sync.reading import _MOST_KEPT
from catchup_jobs.settings import Settings


@pytest.mark.parametrize("seconds", [smtp_email.CONVERSATION_SECONDS, twilio_http.REQUEST_SECONDS])
def test_a_call_to_a_provider_ends_before_the_lease_of_its_claim(seconds: float) -> None:
    assert seconds < LEASE.total_seconds()


def test_no_import_takes_more_contacts_than_planning_holds_in_memory() -> None:
    assert _MAX_CONTACTS <= MOST_ROWS


def test_the_settings_name_the_ports_by_which_mail_servers_are_asked() -> None:
    said = Settings.model_fields["smtp_port"].description or ""
    assert [
        port for security, port in smtp_email.DEFAULT_PORTS.items() if f"{port} with `{security}`" not in said
    ] == []


def test_an_interrupted_sync_keeps_as_many_events_as_are_read_of_a_list() -> None:
    assert MOST_PAGES * int(str(_EVENT_PARAMETERS["maxResults"])) == _MOST_KEPT
