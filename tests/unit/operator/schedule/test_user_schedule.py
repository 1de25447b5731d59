from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from unit.operator.factories import body

from catchup_contract.kinds import DIGEST, SYNC
from catchup_operator.schedule.fields import InvalidSpecError
from catchup_operator.schedule.user_schedule import UserSchedule


def test_defaults_are_those_of_the_schema() -> None:
    found = UserSchedule.from_body(body())
    sync, digest = found.sections[SYNC], found.sections[DIGEST]
    assert (found.time_zone, sync.enabled, sync.chosen.spec_fields) == ("Etc/UTC", True, {"every": "30m"})
    assert (digest.enabled, digest.chosen.spec_fields) == (True, {"day": "Sunday", "time": "09:00"})
    assert (found.priority, found.suspend) == ("normal", False)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"userId": "$(SECRET)"}, "userId"),
        ({"userId": "ada;rm"}, "userId"),
        ({"userId": "ada\n"}, "userId"),
        ({"userId": "ada\0"}, "userId"),
        ({"userId": "a" * 64}, "userId"),
        ({"userId": "Ada"}, "userId"),
        ({"userId": "-ada"}, "userId"),
        ({"userId": "ädä"}, "userId"),
        ({"userId": 7}, "userId"),
        ({"userId": None}, "userId"),
        ({"timeZone": "Local"}, "timeZone"),
        ({"timeZone": "localtime"}, "timeZone"),
        ({"timeZone": "../../etc/passwd"}, "timeZone"),
        ({"timeZone": "TZ=UTC"}, "timeZone"),
        ({"timeZone": "posix/Europe/Berlin"}, "timeZone"),
        ({"timeZone": "europe/berlin"}, "timeZone"),
        ({"timeZone": ["Europe/Berlin"]}, "timeZone"),
        ({"timeZone": "A" * 5000}, "timeZone"),
        ({"digest": {"time": "24:00"}}, "time"),
        ({"digest": {"time": "9:00"}}, "time"),
        ({"digest": {"time": 900}}, "time"),
        ({"digest": {"time": "09:00\n"}}, "time"),
        ({"digest": {"day": "Sun"}}, "day"),
        ({"digest": "weekly"}, "digest"),
        ({"calendarSync": {"every": "7m"}}, "every"),
        ({"calendarSync": {"enabled": "yes"}}, "enabled"),
        ({"priority": "urgent"}, "priority"),
        ({"suspend": "no"}, "suspend"),
        ({"suspension": "tomorrow"}, "suspension"),
        ({"suspension": {"until": "2026-12-01T08:00:00Z"}}, "suspension.reason"),
        ({"suspension": {"reason": "ops"}}, "suspension.until"),
        ({"suspension": {"reason": "ops", "until": "2026-12-01T08:00:00"}}, "suspension.until"),
        ({"suspension": {"reason": "ops", "until": "2026-13-01T08:00:00Z"}}, "suspension.until"),
    ],
)
def test_a_value_that_the_schema_would_refuse_is_refused_by_name(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSpecError, match=f"^{field} "):
        UserSchedule.from_body(body(spec))


UNTIL = datetime(2026, 12, 1, 8, tzinfo=UTC)
SUSPENSION = {"reason": "ops, mailboxes move", "until": "2026-12-01T09:00:00+01:00"}


@pytest.mark.parametrize(
    ("spec", "before", "after"),
    [
        ({}, (False, None), (False, None)),
        ({"suspend": True}, (True, None), (True, None)),
        ({"suspension": SUSPENSION}, (True, UNTIL), (False, None)),
        ({"suspension": SUSPENSION, "suspend": False}, (True, UNTIL), (False, None)),
        # Without an end.
        ({"suspension": SUSPENSION, "suspend": True}, (True, None), (True, None)),
    ],
)
def test_a_suspension_holds_until_its_end_and_suspend_without_one(
    spec: dict[str, Any], before: tuple[bool, datetime | None], after: tuple[bool, datetime | None]
) -> None:
    for now, expected in ((UNTIL - timedelta(seconds=1), before), (UNTIL, after)):
        found = UserSchedule.from_body(body(spec)).at(now)
        assert (found.suspend, found.suspension and found.suspension.until) == expected
