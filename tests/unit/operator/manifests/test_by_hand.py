from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from unit.operator.factories import TEMPLATE, body, schedule

from catchup_contract.kinds import DIGEST, SYNC, Kind
from catchup_contract.run_keys import slot_of
from catchup_operator.manifests.by_hand import by_hand, by_hand_name, is_spent
from catchup_operator.manifests.dedicated import desired_cronjobs

NOW = datetime(2026, 11, 29, 8, 59, 20, tzinfo=UTC)
METADATA = body()["metadata"]


def made(kind: Kind, spec: dict[str, Any] | None = None, now: datetime = NOW) -> tuple[dict[str, Any], dict[str, Any]]:
    regular = desired_cronjobs(schedule(spec), TEMPLATE, {})[kind]
    return regular, by_hand(regular, by_hand_name(METADATA, kind, NOW), now)


@pytest.mark.parametrize("kind", [SYNC, DIGEST])
def test_a_request_makes_the_pod_of_the_regular_cronjob_once_and_serves_no_slot(kind: Kind) -> None:
    regular, found = made(kind, {"calendarSync": {"every": "24h"}})
    assert found["spec"]["schedule"] == "0 9 29 11 *"
    assert (found["spec"]["timeZone"], found["spec"]["startingDeadlineSeconds"]) == ("Etc/UTC", 3600)
    assert found["metadata"]["ownerReferences"] == regular["metadata"]["ownerReferences"]
    job, usual = found["spec"]["jobTemplate"], regular["spec"]["jobTemplate"]
    assert job["spec"] == usual["spec"]
    assert job["metadata"]["annotations"] == {"cronjob.kubernetes.io/instantiate": "manual"}
    by_hand_label = {"catchup.dev/by-hand": "true"}
    assert job["metadata"]["labels"] == found["metadata"]["labels"] == usual["metadata"]["labels"] | by_hand_label
    env = {each["name"]: each.get("value") for each in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert slot_of(f"{found['metadata']['name']}-29401201", str(env["CATCHUP_CRONJOB_NAME"])) is None


@pytest.mark.parametrize(
    ("second", "minute"), [(0, "10"), (49, "10"), (50, "11"), (59, "11")], ids=["soon", "just", "late", "later"]
)
def test_its_minute_is_not_so_near_that_the_cronjob_may_be_made_after_it(second: int, minute: str) -> None:
    _, found = made(SYNC, now=NOW.replace(hour=9, minute=9, second=second))
    assert found["spec"]["schedule"].split()[0] == minute


def test_a_request_has_one_name_of_the_length_that_cronjobs_may_have() -> None:
    names = {
        by_hand_name({**METADATA, "name": name, "uid": uid}, kind, at)
        for name in ("ada", "a" * 63, "a.b")
        for uid in ("1", "2")
        for kind in (SYNC, DIGEST)
        for at in (NOW, NOW + timedelta(seconds=1))
    }
    assert len(names) == 24
    assert max(map(len, names)) == 52
    assert by_hand_name(METADATA, SYNC, NOW) == by_hand_name(METADATA, SYNC, NOW.astimezone())
    assert by_hand_name(METADATA, SYNC, NOW).startswith("ada-sync-now-")


@pytest.mark.parametrize(
    ("hours", "metadata", "spent"),
    [
        (5, {}, False),
        (7, {}, True),
        (7, {"deletionTimestamp": "2026-11-29T09:00:00Z"}, False),
        (7, {"labels": {"catchup.dev/job": "sync"}}, False),
    ],
)
def test_it_is_deleted_after_hours_and_no_other_is(hours: int, metadata: dict[str, Any], spent: bool) -> None:
    _, found = made(SYNC)
    created = (NOW - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert is_spent({**found["metadata"], "creationTimestamp": created, **metadata}, NOW) is spent
