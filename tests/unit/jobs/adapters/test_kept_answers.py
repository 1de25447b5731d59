"""How long an answer for the metrics is told again: by what it took to find it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from catchup_jobs.adapters.database.metrics.snapshot import Answers

NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


class Question:
    """A question that takes a time, and is answered by how often it was asked."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked = 0
        self.clock = 0.0

    def __call__(self) -> int:
        self.asked += 1
        self.clock += self.seconds
        return self.asked


@pytest.mark.parametrize(
    ("took", "later", "asked"),
    [
        (0.001, 9 * SECOND, 1),
        (0.001, 10 * SECOND, 2),
        (0.01, 99 * SECOND, 1),
        (0.01, 100 * SECOND, 2),
        (1, 5 * MINUTE - SECOND, 1),
        (1, 5 * MINUTE, 2),  # whatever it takes
        (1, -SECOND, 2),  # the clock was set back
    ],
)
def test_a_question_rests_the_longer_the_more_it_took(took: float, later: timedelta, asked: int) -> None:
    question = Question(took)
    answers = Answers(5 * MINUTE, clock=lambda: question.clock)
    for at, told in ((NOW, 1), (NOW + later, asked)):
        answer, seconds = answers.get("dear", question, at)
        assert answer == told
        assert seconds == pytest.approx(took)


def test_each_question_is_asked_each_time_where_nothing_is_kept() -> None:
    question = Question(10)
    answers = Answers(timedelta(0), clock=lambda: question.clock)
    assert [answers.get("dear", question, NOW)[0] for _ in range(3)] == [1, 2, 3]


def test_a_question_that_fails_is_asked_again_and_its_earlier_answer_is_not_told() -> None:
    question = Question(1)
    answers = Answers(MINUTE, clock=lambda: question.clock)

    def fail() -> int:
        raise ValueError

    answers.get("dear", question, NOW)
    with pytest.raises(ValueError, match=r"^$"):
        answers.get("dear", fail, NOW + MINUTE)
    assert answers.get("dear", question, NOW + MINUTE)[0] == 2
