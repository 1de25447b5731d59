from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.operator.factories import body

from catchup_operator.manifests.names import Key
from catchup_operator.state.conflicts import Conflicts, user_of
from catchup_operator.state.known_schedules import KnownSchedules


def resource(
    name: str, *, created: int, user: str = "ada", namespace: str = "people", **metadata: Any
) -> dict[str, Any]:
    return body(
        {"userId": user},
        name=name,
        namespace=namespace,
        **{"uid": f"uid-{name}", "creationTimestamp": f"2026-11-23T09:00:{created:02}Z", **metadata},
    )


@pytest.fixture
def changes() -> list[Key]:
    return []


@pytest.fixture
def conflicts(changes: list[Key]) -> Conflicts:
    found = Conflicts(user_of)
    found.subscribe(changes.append)
    return found


def test_the_older_of_two_has_the_user_whichever_is_shown_first(conflicts: Conflicts, changes: list[Key]) -> None:
    younger = conflicts.add(resource("b", created=2))
    assert conflicts.older_than(younger) is None
    older = conflicts.add(resource("a", created=1))
    assert conflicts.older_than(older) is None
    assert conflicts.older_than(younger) == older
    assert str(older) == "people/a"
    assert changes == [("people", "b")]
    assert conflicts.not_served() == [("people", "b")]


def test_the_younger_takes_over_when_the_older_goes(conflicts: Conflicts, changes: list[Key]) -> None:
    conflicts.add(resource("a", created=1))
    younger = conflicts.add(resource("b", created=2, namespace="others"))
    conflicts.remove(("people", "a"))
    assert changes == [("others", "b")]
    assert conflicts.older_than(younger) is None
    assert conflicts.not_served() == []


def test_of_three_each_younger_one_is_told_when_another_one_is_served(conflicts: Conflicts, changes: list[Key]) -> None:
    for number, name in enumerate("abc"):
        conflicts.add(resource(name, created=number))
    conflicts.remove(("people", "a"))
    assert changes == [("people", "b"), ("people", "c")]


def test_when_a_namespace_goes_the_younger_ones_elsewhere_take_over(conflicts: Conflicts, changes: list[Key]) -> None:
    for user in ("ada", "bob"):
        conflicts.add(resource(user, created=1, user=user, namespace="gone"))
        conflicts.add(resource(user, created=2, user=user))
    for key in conflicts.keys_in("gone"):
        conflicts.remove(key)
    assert changes == [("people", "ada"), ("people", "bob")]
    assert (conflicts.keys_in("gone"), conflicts.not_served()) == ([], [])


def test_a_younger_one_that_goes_changes_nothing(conflicts: Conflicts, changes: list[Key]) -> None:
    older = conflicts.add(resource("a", created=1))
    conflicts.add(resource("b", created=2))
    conflicts.remove(("people", "b"))
    assert changes == []
    assert conflicts.older_than(older) is None


def test_one_that_was_recreated_under_its_name_is_young(conflicts: Conflicts) -> None:
    conflicts.add(resource("a", created=1))
    second = conflicts.add(resource("b", created=2))
    again = conflicts.add(resource("a", created=3, uid="uid-new"))
    assert conflicts.older_than(again) == second
    conflicts.remove(("people", "a"), "uid-a")  # the news of the first one's end comes late
    assert conflicts.older_than(again) == second


def test_different_users_never_conflict(conflicts: Conflicts, changes: list[Key]) -> None:
    conflicts.add(resource("a", created=1, user="ada"))
    conflicts.add(resource("b", created=2, user="bob"))
    conflicts.remove(("people", "nobody"))
    assert (changes, conflicts.not_served()) == ([], [])


@pytest.mark.parametrize("spec", [None, {}, {"userId": 7}, "weekly"])
def test_resources_that_name_no_user_do_not_conflict(conflicts: Conflicts, spec: Any) -> None:
    held = [conflicts.add({**resource(name, created=1), "spec": spec}) for name in "ab"]
    assert [conflicts.older_than(claim) for claim in held] == [None, None]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.randoms())
def test_the_winner_does_not_depend_on_the_order_in_which_they_are_shown(
    created: list[int], dice: random.Random
) -> None:
    resources = [resource(f"r{number}", created=second) for number, second in enumerate(created)]
    oldest = min(resources, key=lambda each: (each["metadata"]["creationTimestamp"], each["metadata"]["uid"]))
    dice.shuffle(resources)
    conflicts = Conflicts(user_of)
    held = [conflicts.add(each) for each in resources]
    assert [str(claim) for claim in held if conflicts.older_than(claim) is None] == [
        f"people/{oldest['metadata']['name']}"
    ]
    assert len(list(conflicts.not_served())) == len(resources) - 1


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_the_list_for_the_pods_of_pools_names_the_same_winner(created: list[int]) -> None:
    resources = [resource(f"r{number}", created=second, generation=1) for number, second in enumerate(created)]
    conflicts, schedules = Conflicts(user_of), KnownSchedules(0)
    held = [conflicts.add(each) for each in resources]
    for each in resources:
        schedules.observe(each)
    served = [each.uid for each in schedules.listed("people", lambda _: True) if each.is_served]
    assert served == [ref.uid for ref in held if conflicts.older_than(ref) is None]
