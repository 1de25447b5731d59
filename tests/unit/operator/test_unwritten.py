from __future__ import annotations

from unit.operator.factories import body

from catchup_operator.unwritten import Unwritten

KEY = ("people", "ada")


def test_a_status_that_does_not_arrive_in_time_is_lost() -> None:
    unwritten = Unwritten()
    unwritten.handed_over(body(generation=2), 100.0)
    assert unwritten.lost(120.0) == []
    assert unwritten.lost(131.0) == [KEY]


def test_a_status_that_arrived_is_not_lost_but_one_of_an_earlier_generation_is_not_it() -> None:
    unwritten = Unwritten()
    unwritten.handed_over(body(generation=2), 100.0)
    unwritten.seen(body(generation=2, status={"observedGeneration": 1}))
    assert unwritten.lost(200.0) == [KEY]
    unwritten.seen(body(generation=2, status={"observedGeneration": 2}))
    assert unwritten.lost(200.0) == []


def test_only_the_generation_that_was_told_of_is_covered_and_only_until_it_is_seen() -> None:
    unwritten = Unwritten()
    assert not unwritten.covers(body())
    unwritten.handed_over(body(), 100.0)
    assert unwritten.covers(body(labels={"a": "b"}))
    assert not unwritten.covers(body(generation=2))
    assert not unwritten.covers(body(uid="made-again"))
    unwritten.seen(body(status={"observedGeneration": 1}))
    assert not unwritten.covers(body())


def test_one_that_is_gone_is_not_waited_for() -> None:
    unwritten = Unwritten()
    unwritten.handed_over(body(), 100.0)
    unwritten.forget(KEY)
    assert unwritten.lost(200.0) == []


def test_only_what_is_awaited_is_worth_a_look() -> None:
    unwritten = Unwritten()
    assert not unwritten.awaits(KEY)
    unwritten.handed_over(body(), 100.0)
    assert unwritten.awaits(KEY)
    unwritten.seen(body(status={"observedGeneration": 1}))
    assert not unwritten.awaits(KEY)
