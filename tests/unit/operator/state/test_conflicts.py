from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.operator.factories import body

from catchup_operator.state.conflicts import Claims
from catchup_operator.state.drift import Key


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
def claims(changes: list[Key]) -> Claims:
    found = Claims()
    found.report_to(changes.append)
    return found


def test_the_older_of_two_has_the_user_whichever_is_shown_first(claims: Claims, changes: list[Key]) -> None:
    younger = claims.hold(resource("b", created=2))
    assert claims.oldest_beside(younger) is None
    older = claims.hold(resource("a", created=1))
    assert claims.oldest_beside(older) is None
    assert claims.oldest_beside(younger) == older
    assert str(older) == "people/a"
    assert changes == [("people", "b")]
    assert claims.losers() == [("people", "b")]


def test_the_younger_takes_over_when_the_older_goes(claims: Claims, changes: list[Key]) -> None:
    claims.hold(resource("a", created=1))
    younger = claims.hold(resource("b", created=2, namespace="others"))
    claims.release(("people", "a"))
    assert changes == [("others", "b")]
    assert claims.oldest_beside(younger) is None
    assert claims.losers() == []


def test_a_younger_one_that_goes_changes_nothing(claims: Claims, changes: list[Key]) -> None:
    older = claims.hold(resource("a", created=1))
    claims.hold(resource("b", created=2))
    claims.release(("people", "b"))
    assert changes == []
    assert claims.oldest_beside(older) is None


def test_one_that_was_recreated_under_its_name_is_young(claims: Claims) -> None:
    claims.hold(resource("a", created=1))
    second = claims.hold(resource("b", created=2))
    again = claims.hold(resource("a", created=3, uid="uid-new"))
    assert claims.oldest_beside(again) == second
    claims.release(("people", "a"), "uid-a")  # the news of the first one's end comes late
    assert claims.oldest_beside(again) == second


def test_different_users_never_conflict(claims: Claims, changes: list[Key]) -> None:
    claims.hold(resource("a", created=1, user="ada"))
    claims.hold(resource("b", created=2, user="bob"))
    claims.release(("people", "nobody"))
    assert (changes, claims.losers()) == ([], [])


@pytest.mark.parametrize("spec", [None, {}, {"userId": 7}, "weekly"])
def test_resources_that_name_no_user_do_not_conflict(claims: Claims, spec: Any) -> None:
    held = [claims.hold({**resource(name, created=1), "spec": spec}) for name in "ab"]
    assert [claims.oldest_beside(claim) for claim in held] == [None, None]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.randoms())
def test_the_winner_does_not_depend_on_the_order_in_which_they_are_shown(
    created: list[int], dice: random.Random
) -> None:
    resources = [resource(f"r{number}", created=second) for number, second in enumerate(created)]
    oldest = min(resources, key=lambda each: (each["metadata"]["creationTimestamp"], each["metadata"]["uid"]))
    dice.shuffle(resources)
    claims = Claims()
    held = [claims.hold(each) for each in resources]
    assert [str(claim) for claim in held if claims.oldest_beside(claim) is None] == [
        f"people/{oldest['metadata']['name']}"
    ]
    assert len(list(claims.losers())) == len(resources) - 1
