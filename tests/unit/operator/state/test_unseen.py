from __future__ import annotations

from unit.operator.factories import body

from catchup_operator.state.unseen import Unseen

KEY = ("people", "ada")


def test_only_the_generation_that_is_written_of_is_covered_and_only_until_it_is_seen() -> None:
    unseen = Unseen()
    assert not unseen.covers(body())
    unseen.writing(body())
    assert unseen.covers(body(labels={"a": "b"}))
    assert not unseen.covers(body(generation=2))
    assert not unseen.covers(body(uid="made-again"))
    unseen.seen(body(status={"observedGeneration": 1}))
    assert not unseen.covers(body())


def test_a_status_of_an_earlier_generation_is_not_the_one_that_is_written() -> None:
    unseen = Unseen()
    unseen.writing(body(generation=2))
    unseen.seen(body(generation=2, status={"observedGeneration": 1}))
    assert unseen.covers(body(generation=2))


def test_one_that_is_gone_is_not_waited_for() -> None:
    unseen = Unseen()
    unseen.writing(body())
    unseen.forget(KEY)
    assert not unseen.awaits(KEY)


def test_only_what_is_awaited_is_worth_a_look() -> None:
    unseen = Unseen()
    assert not unseen.awaits(KEY)
    unseen.writing(body())
    assert unseen.awaits(KEY)
    unseen.seen(body(status={"observedGeneration": 1}))
    assert not unseen.awaits(KEY)
