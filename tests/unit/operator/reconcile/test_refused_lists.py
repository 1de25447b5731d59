"""Members of pools of whom the pods cannot be told, since the API server refuses the list of UserSchedules."""

from __future__ import annotations

import base64
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest
from unit.operator.factories import TEMPLATE, body
from unit.operator.reconcile.test_placements import CREATED, NOW, pools, ready, reconciled
from unit.operator.status.test_patches import merge

from catchup_contract.schedule_list import encode
from catchup_operator.kube.errors import ApiError
from catchup_operator.manifests.list_configmaps import CONFIGMAPS, LIST_PARTS
from catchup_operator.reconcile.list_writer import ListWriter
from catchup_operator.reconcile.placements import Dedicated
from catchup_operator.reconcile.pool_waits import WaitsForPoolError
from catchup_operator.reconcile.refusals import RefusedError
from catchup_operator.reconcile.work_queue import RetryAfterError
from catchup_operator.schedule.known_schedule import KnownSchedule, known_schedule
from catchup_operator.state.pools import Pools, PoolSubscriber
from catchup_operator.status.conditions import find_condition


def refusing(members: dict[str, int] | None = None) -> Pools:
    """Return pools whose list is refused; the pods have one with these members."""
    known = pools()
    if members is not None:
        known.note_stored("people", members)
    known.note_refused("people", "exceeded quota")
    return known


NEW = body({"pool": "night"}, creationTimestamp=CREATED)
EDITED = body({"pool": "night"}, creationTimestamp=CREATED, generation=2)


@pytest.mark.parametrize(
    ("known", "before", "waits"),
    [
        (refusing({}), NEW, True),
        (refusing(), NEW, True),
        (refusing({"uid-1": 1}), {**EDITED, "status": reconciled(NEW, pools())["status"]}, True),
        (refusing({"uid-1": 1}), {**NEW, "status": reconciled(NEW, pools())["status"]}, False),
        (refusing(), {**NEW, "status": reconciled(NEW, pools())["status"]}, False),
        (refusing({"uid-1": 1}), body({"pool": "night", "suspend": True}, generation=2), True),
    ],
    ids=["new", "new, and the pods' list is not known", "edited", "known", "nothing is known", "suspended"],
)
def test_a_member_of_whom_the_pods_cannot_be_told_says_so_and_one_whom_they_know_does_not(
    known: Pools, before: dict[str, Any], waits: bool
) -> None:
    placement = Dedicated(TEMPLATE, known)
    assert placement.is_current(before, placement.template_hash(before)) is (not waits and "status" in before)
    if not waits:
        return
    with pytest.raises(RefusedError, match="exceeded quota") as refused:
        placement.desired(before, older=None, now=NOW)
    assert refused.value.seconds > 60  # who writes the list tells of it
    patch = refused.value.patch
    assert patch is not None
    assert find_condition(patch, "Ready")["reason"] == "ListRefused"
    after = dict(merge(before, {"status": patch}))
    with pytest.raises(RefusedError) as again:
        placement.desired(after, older=None, now=NOW)
    assert again.value.patch is None
    told: list[str] = []
    known.subscribe(PoolSubscriber(listed=lambda _, uids: told.extend(uids)))
    known.note_list("people", {"uid-1": 2})
    assert told == ["uid-1"]
    assert ready(reconciled(after, known))[0] == "True"


def test_after_a_restart_one_of_whom_the_pods_could_not_be_told_says_so_until_a_list_is_written() -> None:
    with pytest.raises(RefusedError) as refused:
        Dedicated(TEMPLATE, refusing({})).desired(NEW, older=None, now=NOW)
    before = dict(merge(NEW, {"status": refused.value.patch}))
    restarted = pools()
    placement = Dedicated(TEMPLATE, restarted)
    assert not placement.is_current(before, placement.template_hash(before))
    with pytest.raises(WaitsForPoolError):
        placement.desired(before, older=None, now=NOW)
    restarted.note_refused("people", "exceeded quota")
    with pytest.raises(RefusedError) as again:
        placement.desired(before, older=None, now=NOW)
    assert again.value.patch is None


def test_a_younger_one_of_a_user_says_so_whatever_its_pods_can_be_told() -> None:
    assert ready(reconciled(NEW, refusing({}), older="people/older")) == ("False", "Conflict")


async def test_a_list_that_is_refused_concerns_those_whom_the_stored_one_does_not_have_as_they_are() -> None:
    told: list[set[str]] = []
    known = pools()
    known.subscribe(PoolSubscriber(listed=lambda _, uids: told.append(set(uids))))
    older, younger = (
        {**body({"pool": "night", "userId": uid}, name=uid, uid=uid, generation=generation), "status": {}}
        for uid, generation in (("same", 1), ("edited", 1))
    )
    written = encode([one.listed for one in map(as_known, (older, younger))], LIST_PARTS)
    files = {
        name: {"binaryData": {file: base64.b64encode(written[file]).decode()}} for name, file in CONFIGMAPS.items()
    }
    refusal = ApiError(403, "exceeded quota")
    client = MagicMock(get=AsyncMock(side_effect=lambda _, __, name: files[name]), apply=AsyncMock(side_effect=refusal))
    lists = ListWriter(
        client,
        ["people"],
        digest_spread=0,
        served=MagicMock(require=AsyncMock()),
        queue=MagicMock(),
        pools=known,
        now=lambda: NOW,
    )
    for each in (older, {**younger, "metadata": {**younger["metadata"], "generation": 2}}, NEW):
        lists.known.observe(each)
    for _ in range(3):
        with pytest.raises(RetryAfterError, match="exceeded quota"):
            await lists.write("people")
    assert told == [{"edited", "uid-1"}]


def as_known(schedule: dict[str, Any]) -> KnownSchedule:
    found = known_schedule(schedule, digest_since="", digest_spread=0)
    assert found is not None
    return found
