from __future__ import annotations

from datetime import UTC, datetime

import pytest
from unit.operator.factories import TEMPLATE, body

from catchup_contract.kinds import DIGEST, SYNC
from catchup_operator.manifests.by_hand import by_hand_name
from catchup_operator.reconcile.placements import Dedicated
from catchup_operator.state.pools import PoolFacts, Pools
from catchup_operator.status.requests import new_requests

NOW = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
ASKED = {"catchup.dev/sync-requested-at": "2026-11-29T09:55:00+01:00"}
AT = datetime(2026, 11, 29, 8, 55, tzinfo=UTC)


@pytest.mark.parametrize(
    ("annotations", "taken", "found"),
    [
        ({}, None, {}),
        (ASKED, None, {SYNC: AT}),
        ({"catchup.dev/digest-requested-at": "2026-11-29T08:55:00Z"}, None, {DIGEST: AT}),
        (ASKED, "2026-11-29T08:55:00Z", {}),
        (ASKED, "2026-11-29T08:54:59Z", {SYNC: AT}),
        # Back to an earlier request.
        (ASKED, "2026-11-29T08:56:00Z", {}),
        ({"catchup.dev/sync-requested-at": "2026-11-29T07:59:59Z"}, None, {}),
        ({"catchup.dev/sync-requested-at": "2026-11-29T09:05:01Z"}, None, {}),
        ({"catchup.dev/sync-requested-at": "now"}, None, {}),
        ({"catchup.dev/sync-requested-at": ""}, None, {}),
    ],
)
def test_a_request_is_new_within_an_hour_where_the_status_names_no_later_one(
    annotations: dict[str, str], taken: str | None, found: dict[object, datetime]
) -> None:
    status = None if taken is None else {"sync": {"requestedAt": taken}}
    assert new_requests(body(status=status, annotations=annotations), NOW) == found


@pytest.mark.parametrize(
    ("spec", "taken"),
    [
        ({}, True),
        ({"suspend": True}, False),
        ({"suspension": {"reason": "ops", "until": "2026-11-29T09:00:01Z"}}, False),
        ({"suspension": {"reason": "ops", "until": "2026-11-29T08:59:59Z"}}, True),
        ({"calendarSync": {"enabled": False}}, False),
        ({"digest": {"enabled": False}}, True),
    ],
)
def test_what_is_switched_off_takes_no_request(spec: dict[str, object], taken: bool) -> None:
    asked = body(spec, annotations=ASKED)
    placement = Dedicated(TEMPLATE, Pools())
    assert placement.must_act(asked, NOW)
    desired = placement.desired(asked, older=None, now=NOW)
    names = [manifest["metadata"]["name"] for manifest in desired.once]
    assert names == ([by_hand_name(asked["metadata"], SYNC, AT)] if taken else [])
    assert placement.desired(asked, older="there/ada", now=NOW).once == []


def test_a_request_of_a_pooled_user_is_taken_by_the_status_and_reaches_the_pods_by_the_list() -> None:
    pools = Pools()
    pools.note(("people", "night"), PoolFacts(admits=True))
    pools.note_listed(None)
    asked = body({"pool": "night"}, annotations=ASKED)
    desired = Dedicated(TEMPLATE, pools).desired(asked, older=None, now=NOW)
    patch = desired.patch({})
    assert (desired.once, desired.manifests) == ((), {})
    assert patch is not None
    assert patch["sync"]["requestedAt"] == "2026-11-29T08:55:00Z"
    asked["status"] = {**patch, "sync": {"requestedAt": "2026-11-29T08:55:00Z"}}
    again = Dedicated(TEMPLATE, pools).desired(asked, older=None, now=NOW).patch({})
    assert again is None or "requestedAt" not in again["sync"] or again["sync"]["requestedAt"] is not None
