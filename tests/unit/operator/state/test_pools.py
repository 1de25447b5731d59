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


def test_members_whom_a_list_that_is_refused_would_tell_of_are_reported_once_and_again_when_it_is_written() -> None:
    told: list[tuple[str, set[str]]] = []
    pools = Pools()
    pools.subscribe(PoolSubscriber(listed=lambda namespace, uids: told.append((namespace, set(uids)))))
    pools.note_list("people", {"current": 2, "edited": 1})
    wanted = {"current": 2, "edited": 2, "new": 1}
    for _ in range(2):
        pools.note_refused("people", "exceeded quota", wanted)
    assert told == [("people", {"edited", "new"})]
    pools.note_refused("people", "exceeded quota", {**wanted, "later": 1})
    assert told[1:] == [("people", {"later"})]
    pools.note_waiting("people", "told by its status")
    pools.note_list("people", {**wanted, "later": 1})
    assert told[2:] == [("people", {"edited", "new", "later", "told by its status"})]
    pools.note_list("people", wanted)
    pools.note_list("friends", {})
    assert len(told) == 3


def test_a_refused_list_lacks_what_the_pods_do_not_have_by_the_list_of_this_start_or_of_the_one_before() -> None:
    pools = Pools()

    def lacks() -> list[bool]:
        members = (("ada", 1), ("ada", 2), ("bob", 1))
        return [pools.lacks("people", uid, generation) for uid, generation in members]

    pools.note_stored("people", {"ada": 1})
    assert lacks() == [False, False, False]  # it may be written in a moment
    pools.note_refused("people", "exceeded quota")
    assert lacks() == [False, True, True]
    pools.note_list("people", {"ada": 2})
    assert lacks() == [False, False, False]
    pools.note_refused("people", "exceeded quota")
    assert lacks() == [False, False, True]
    pools.note_refused("friends", "may not be read")
    assert not pools.lacks("friends", "ada", 1)  # nobody knows what they have


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
