from __future__ import annotations

from catchup_contract.kinds import DIGEST
from catchup_operator.manifests.names import Key
from catchup_operator.state.pools import PoolFacts, Pools, PoolSubscriber

POOL = ("people", "night")


def test_a_pool_is_missing_only_once_all_of_its_namespace_are_known() -> None:
    pools = Pools()
    assert pools.admits(POOL) is None
    pools.note_listed("friends")
    assert pools.admits(POOL) is None
    pools.note_listed("people")
    assert pools.admits(POOL) is False
    pools.note(POOL, PoolFacts(admits=True))
    assert pools.admits(POOL) is True
    everywhere = Pools()
    everywhere.note_listed(None)
    assert everywhere.admits(POOL) is False


def test_a_list_is_refused_until_it_is_written() -> None:
    pools = Pools()
    assert pools.refused("people") is None
    pools.note_refused("people", "exceeded quota")
    assert pools.refused("people") == "exceeded quota"
    assert pools.refused("friends") is None
    pools.note_list("people", {})
    assert pools.refused("people") is None


def test_each_change_is_reported_once() -> None:
    changes: list[Key] = []
    pools = Pools()
    pools.subscribe(PoolSubscriber(changed=changes.append))
    for admits in (False, False, True, True):
        pools.note(POOL, PoolFacts(admits))
    assert pools.namespaces() == {"people"}
    pools.forget(POOL)
    pools.forget(POOL)
    assert (changes, pools.namespaces()) == ([POOL, POOL, POOL], set())


def test_a_pool_that_is_switched_on_or_off_is_reported_as_such_once() -> None:
    changes: list[Key] = []
    pools = Pools()
    pools.note(POOL, PoolFacts(admits=True))
    pools.subscribe(PoolSubscriber(switched=changes.append))
    for off in ({}, {DIGEST: "PoolDisabled"}, {DIGEST: "PoolDisabled"}, {}):
        pools.note(POOL, PoolFacts(admits=True, off=off))
    assert changes == [POOL, POOL]


def test_a_member_is_told_by_its_uid_and_generation() -> None:
    pools = Pools()
    assert not pools.is_on_list("people", "uid-1", 1)
    pools.note_list("people", {"uid-1": 2})
    assert [pools.is_on_list("people", "uid-1", generation) for generation in (1, 2, 3)] == [True, True, False]
    assert not pools.is_on_list("people", "uid-2", 1)
    assert not pools.is_on_list("friends", "uid-1", 1)


def test_a_pool_that_is_made_again_has_no_list_until_one_is_written() -> None:
    pools = Pools()
    pools.note(POOL, PoolFacts(admits=False))
    assert not pools.has_list(POOL)
    pools.note_list("people", {}, pools.names_in("people"))
    assert pools.has_list(POOL)
    pools.forget(POOL)
    pools.note(POOL, PoolFacts(admits=False))
    assert not pools.has_list(POOL)
