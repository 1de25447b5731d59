"""What `kubectl apply` rejects of a SchedulePool, with which messages; what `kubectl get` prints."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from integration.operator.conftest import ROOT, Namespace

from catchup_dev.cluster import Failure

# The tests without faults share one API server, those with faults another.
pytestmark = pytest.mark.xdist_group("operator")

NAME = "at most 40 lower-case letters, digits and dashes"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"members": "Everybody"}, '"Database", "UserSchedules"'),
        ({"calendarSync": {"every": "7m"}}, '"30m"'),
        ({"calendarSync": {"tick": "3m"}}, '"1m", "2m", "5m", "10m"'),
        ({"digest": {"tick": "1h"}}, '"1m", "2m", "5m", "10m"'),
        ({"digest": {"shards": 0}}, "greater than or equal to 1"),
        ({"calendarSync": {"shards": 65}}, "less than or equal to 64"),
        ({"suspend": "yes"}, "must be of type boolean"),
        ({"suspension": {"until": "2026-12-01T08:00:00Z"}}, "spec.suspension.reason: Required value"),
        ({"suspension": {"reason": "ops", "until": "9999-12-31T23:59:59Z"}}, "must be in the years 2000 to 2199"),
        ({"digest": {"every": "1h"}}, "unknown field"),
    ],
)
def test_a_bad_value_is_refused_with_what_is_allowed(namespace: Namespace, spec: dict[str, Any], says: str) -> None:
    with pytest.raises(Failure) as caught:
        create(namespace, "people", spec)
    assert says in caught.value.log


def create(namespace: Namespace, name: str, spec: dict[str, Any]) -> None:
    """Apply a pool as a user does: kubectl shows what the API server says in its words."""
    document = {"apiVersion": "catchup.dev/v1alpha1", "kind": "SchedulePool", "metadata": {"name": name}, "spec": spec}
    namespace.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(document))


@pytest.mark.parametrize("name", ["a" * 41, "a.b"])
def test_a_name_from_which_no_cronjob_can_be_named_is_refused(namespace: Namespace, name: str) -> None:
    with pytest.raises(Failure) as caught:
        namespace.apply_pool(name)
    assert NAME in caught.value.log


def test_defaults_are_filled_in_by_the_api_server(namespace: Namespace) -> None:
    namespace.apply_pool("a" * 40)
    assert namespace.get("schedulepools", "a" * 40)["spec"] == {
        "members": "Database",
        "calendarSync": {"enabled": True, "every": "30m", "tick": "1m", "shards": 1},
        "digest": {"enabled": True, "tick": "1m", "shards": 1},
        "suspend": False,
    }


def test_the_example_is_accepted_and_get_prints_the_promised_columns(namespace: Namespace) -> None:
    namespace.kubectl("apply", "-f", str(ROOT / "examples/schedulepool.yaml"))
    header = namespace.kubectl("get", "spool").splitlines()[0]
    assert header.split() == ["NAME", "READY", "MEMBERS", "SYNCED", "FAILING", "LATE", "OLDEST-SYNC", "AGE"]
    document = yaml.safe_load(namespace.kubectl("get", "catchup", "-o", "yaml"))
    assert [item["kind"] for item in document["items"]] == ["SchedulePool"]
