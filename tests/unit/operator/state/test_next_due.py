from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from unit.operator.factories import body

from catchup_contract.kinds import Job
from catchup_operator.schedule.user_schedule import UserSchedule
from catchup_operator.state.next_due import NextDue
from catchup_operator.status import patches as status

KEY = ("people", "ada")
DUE = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)


def told(*runs: str) -> dict[str, Any]:
    return {"digest": {"nextRuns": list(runs)}}


@pytest.fixture
def next_due() -> NextDue:
    found = NextDue()
    found.note(KEY, told("2026-11-29 09:00 CET (UTC+01:00)"))
    return found


def test_a_digest_is_missed_only_after_its_run_had_its_time(next_due: NextDue) -> None:
    assert next_due.passed(DUE + timedelta(minutes=15)) == []
    assert next_due.passed(DUE + timedelta(minutes=21)) == [KEY]


def test_the_digests_own_result_puts_off_the_next_look(next_due: NextDue) -> None:
    next_due.note(KEY, told("2026-12-06 09:00 CET (UTC+01:00)"))
    assert next_due.passed(DUE + timedelta(hours=1)) == []


def test_what_is_switched_off_or_gone_is_not_waited_for(next_due: NextDue) -> None:
    next_due.note(KEY, {"digest": {"nextRuns": None}})
    assert next_due.passed(DUE + timedelta(days=1)) == []
    next_due.note(KEY, told("2026-11-29 09:00 CET (UTC+01:00)"))
    next_due.forget(KEY)
    assert next_due.passed(DUE + timedelta(days=1)) == []


def test_a_status_is_refreshed_to_the_times_ahead_and_only_if_it_names_others() -> None:
    spec = {"timeZone": "Europe/Berlin"}
    ready = [{"type": "Ready", "status": "True"}]
    now = DUE + timedelta(minutes=30)
    before = body(spec, status={"conditions": ready, **told("2026-11-29 09:00 CET (UTC+01:00)")})
    patch = status.refreshed(before, UserSchedule.from_body(before), digest_spread=0, now=now)
    assert patch is not None
    assert patch["digest"]["nextRuns"][0] == "2026-12-06 09:00 CET (UTC+01:00)"
    after = body(spec, status={"conditions": ready, **patch})
    assert status.refreshed(after, UserSchedule.from_body(after), digest_spread=0, now=now) is None
    assert set(patch) == {Job.SYNC, Job.DIGEST}
