"""What `kubectl apply` rejects, with which messages; what `kubectl explain` prints."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from integration.operator.conftest import Namespace
from waiting import eventually

from catchup_dev.cluster import Failure

# The tests of the chart share one API server, those of the operator two others.
pytestmark = pytest.mark.xdist_group("chart")

ZONE = "must be an IANA time zone such as 'Europe/Berlin' or 'Etc/UTC'"
USER = "must be lower-case letters, digits and dashes"
PAUSE = {"reason": "ops", "until": "2026-12-01T08:00:00Z"}
TIME = 'must be a time of day from "00:00" to "23:59", as HH:MM'


def refusal(namespace: Namespace, spec: Any, name: str = "ada", **metadata: Any) -> str:
    document = {
        "apiVersion": "catchup.dev/v1alpha1",
        "kind": "UserSchedule",
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }
    with pytest.raises(Failure) as caught:
        namespace.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(document))
    return caught.value.log


@pytest.mark.parametrize(
    ("spec", "field", "says"),
    [
        ({}, "spec.userId", "Required value"),
        ({"userId": "$(SECRET)"}, "spec.userId", USER),
        ({"userId": "ada;rm"}, "spec.userId", USER),
        ({"userId": "ada\nrm"}, "spec.userId", USER),
        ({"userId": "ada\0"}, "spec.userId", USER),
        ({"userId": "ädä"}, "spec.userId", USER),
        ({"userId": "Ada"}, "spec.userId", USER),
        ({"userId": "ada-"}, "spec.userId", USER),
        ({"userId": ""}, "spec.userId", "at least 1 char"),
        ({"userId": "a" * 64}, "spec.userId", "may not be more than 63"),
        ({"userId": 7}, "spec.userId", "must be of type string"),
        ({"userId": "ada", "timeZone": "Nope/Zone"}, "spec.timeZone", ZONE),
        ({"userId": "ada", "timeZone": "GMT+3"}, "spec.timeZone", ZONE),
        ({"userId": "ada", "timeZone": "+03:00"}, "spec.timeZone", ZONE),
        ({"userId": "ada", "timeZone": "03:00"}, "spec.timeZone", ZONE),
        ({"userId": "ada", "timeZone": "Local"}, "spec.timeZone", ZONE),
        ({"userId": "ada", "timeZone": "localtime"}, "spec.timeZone", ZONE),
        ({"userId": "ada", "timeZone": "posixrules"}, "spec.timeZone", ZONE),
        ({"userId": "ada", "timeZone": "Factory"}, "spec.timeZone", ZONE),
        ({"userId": "ada", "timeZone": "posix/Europe/Berlin"}, "spec.timeZone", ZONE),
        ({"userId": "ada", "timeZone": "right/Europe/Berlin"}, "spec.timeZone", ZONE),
        ({"userId": "ada", "timeZone": "../x"}, "spec.timeZone", ZONE),
        ({"userId": "ada", "timeZone": "TZ=UTC"}, "spec.timeZone", ZONE),
        ({"userId": "ada", "timeZone": ""}, "spec.timeZone", "at least 1 char"),
        ({"userId": "ada", "timeZone": "A" * 65}, "spec.timeZone", "may not be more than 64"),
        ({"userId": "ada", "digest": {"time": "24:00"}}, "spec.digest.time", TIME),
        ({"userId": "ada", "digest": {"time": "9:00"}}, "spec.digest.time", TIME),
        ({"userId": "ada", "digest": {"time": "09:60"}}, "spec.digest.time", TIME),
        ({"userId": "ada", "digest": {"day": "Sun"}}, "spec.digest.day", '"Daily"'),
        ({"userId": "ada", "calendarSync": {"every": "7m"}}, "spec.calendarSync.every", '"30m"'),
        ({"userId": "ada", "calendarSync": {"every": "5h"}}, "spec.calendarSync.every", '"6h"'),
        ({"userId": "ada", "calendarSync": "30m"}, "spec.calendarSync", "must be of type object"),
        ({"userId": "ada", "priority": "urgent"}, "spec.priority", '"low", "normal", "high"'),
        ({"userId": "ada", "pool": "My Pool"}, "spec.pool", "must be the name of a SchedulePool"),
        ({"userId": "ada", "pool": "a" * 41}, "spec.pool", "may not be more than 40"),
        ({"userId": "ada", "suspend": "yes"}, "spec.suspend", "must be of type boolean"),
        ({"userId": "ada", "suspension": {"reason": "ops"}}, "spec.suspension.until", "Required value"),
        ({"userId": "ada", "suspension": {**PAUSE, "reason": ""}}, "spec.suspension.reason", "at least 1 char"),
        ({"userId": "ada", "suspension": {**PAUSE, "until": "tomorrow"}}, "spec.suspension.until", "date-time"),
        *(
            ({"userId": "ada", "suspension": {**PAUSE, "until": until}}, "spec.suspension.until", "years 2000 to 2199")
            for until in ("9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z")
        ),
        ({"userId": "ada", "suspension": {**PAUSE, "end": "x"}}, "spec.suspension.end", "unknown field"),
        ({"userId": "ada", "timezone": "Etc/UTC"}, "spec.timezone", "unknown field"),
    ],
)
def test_a_bad_value_is_refused_with_what_is_allowed(
    namespace: Namespace, spec: dict[str, Any], field: str, says: str
) -> None:
    log = refusal(namespace, spec)
    assert field in log
    assert says in log


def test_a_spec_of_one_megabyte_is_refused_or_pruned(namespace: Namespace) -> None:
    assert refusal(namespace, {"userId": "ada", "note": "x" * 1_000_000}, name="big")


def test_the_user_of_a_resource_cannot_be_changed(namespace: Namespace) -> None:
    namespace.apply("ada")
    assert "is immutable" in refusal(namespace, {"userId": "bob"})


def test_a_name_that_fits_no_label_is_refused(namespace: Namespace) -> None:
    assert "at most 63 characters" in refusal(namespace, {"userId": "ada"}, name="a" * 64)


@pytest.mark.parametrize("zone", ["Etc/UTC", "UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+3"])
def test_zones_of_the_database_are_accepted(namespace: Namespace, zone: str) -> None:
    namespace.apply("ada", timeZone=zone)
    assert namespace.schedule()["spec"]["timeZone"] == zone


def test_defaults_are_filled_in_by_the_api_server(namespace: Namespace) -> None:
    namespace.apply("ada")
    assert namespace.schedule()["spec"] == {
        "userId": "ada",
        "timeZone": "Etc/UTC",
        "calendarSync": {"enabled": True, "every": "30m"},
        "digest": {"enabled": True, "day": "Sunday", "time": "09:00"},
        "priority": "normal",
        "suspend": False,
    }


def test_explain_reads_as_documentation(namespace: Namespace) -> None:
    names = eventually(lambda: namespace.kubectl("explain", "userschedule.spec", "--recursive"))
    for field in (
        "userId",
        "timeZone",
        "calendarSync",
        "every",
        "digest",
        "day",
        "time",
        "priority",
        "suspend",
        "suspension",
        "until",
    ):
        assert field in names
    assert "Default: 30m" in namespace.kubectl("explain", "userschedule.spec.calendarSync.every")


def test_get_prints_the_promised_columns(namespace: Namespace) -> None:
    namespace.apply("ada")
    header = namespace.kubectl("get", "us").splitlines()[0]
    usual = ["NAME", "READY", "TIMEZONE", "SYNC", "DIGEST", "LAST-SYNC", "NEXT-DIGEST", "POOL", "AGE"]
    assert header.split() == usual
    wide = namespace.kubectl("get", "us", "-o", "wide").splitlines()[0]
    assert wide.split() == [*usual, "USER", "FAILURES", "CALENDARS", "SUSPENDED-UNTIL", "REASON", "MESSAGE"]
