"""Which answers to a suggestion are possible when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from catchup_jobs.domain.planning.answers import LONGEST_SNOOZE, SNOOZE, Answer, Change, ImpossibleAnswerError, change
from catchup_jobs.domain.stored_enums import SuggestionStatus as Status

NOW = datetime(2026, 11, 29, 8, tzinfo=UTC)
LATER = NOW + timedelta(hours=6)


@pytest.mark.parametrize(
    ("answer", "status", "becomes"),
    [
        (Answer.ACCEPT, Status.PENDING, Status.ACCEPTED),
        (Answer.ACCEPT, Status.SNOOZED, Status.ACCEPTED),
        (Answer.DISMISS, Status.PENDING, Status.DISMISSED),
        (Answer.DISMISS, Status.SNOOZED, Status.DISMISSED),
        (Answer.DISMISS, Status.ACCEPTED, Status.DISMISSED),
        (Answer.SNOOZE, Status.PENDING, Status.SNOOZED),
    ],
)
def test_an_open_suggestion_can_be_answered(answer: Answer, status: Status, becomes: Status) -> None:
    made = change(answer, status, start_at=LATER, now=NOW)
    assert made == Change(becomes, NOW + SNOOZE if becomes is Status.SNOOZED else None)


@pytest.mark.parametrize(
    ("answer", "status"),
    [(Answer.ACCEPT, Status.ACCEPTED), (Answer.DISMISS, Status.DISMISSED), (Answer.SNOOZE, Status.SNOOZED)],
)
def test_saying_it_twice_is_saying_it_once(answer: Answer, status: Status) -> None:
    assert change(answer, status, start_at=NOW - timedelta(hours=1), now=NOW) is None


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Answer.ACCEPT, Status.DISMISSED),
        (Answer.ACCEPT, Status.EXPIRED),
        (Answer.DISMISS, Status.EXPIRED),
        (Answer.SNOOZE, Status.ACCEPTED),
        (Answer.SNOOZE, Status.DISMISSED),
        (Answer.SNOOZE, Status.EXPIRED),
    ],
)
def test_what_is_over_cannot_be_answered(answer: Answer, status: Status) -> None:
    with pytest.raises(ImpossibleAnswerError, match=status.value):
        change(answer, status, start_at=LATER, now=NOW)


def test_a_time_that_has_passed_cannot_be_accepted() -> None:
    with pytest.raises(ImpossibleAnswerError, match="has passed"):
        change(Answer.ACCEPT, Status.PENDING, start_at=NOW, now=NOW)


def test_a_snooze_lasts_seven_days_or_until_the_time_given_and_can_be_changed() -> None:
    until = NOW + timedelta(days=3)
    assert change(Answer.SNOOZE, Status.SNOOZED, start_at=LATER, now=NOW, until=until) == Change(Status.SNOOZED, until)


@pytest.mark.parametrize("until", [NOW, NOW - timedelta(days=1), NOW + LONGEST_SNOOZE + timedelta(days=1)])
def test_a_snooze_ends_in_a_time_to_come(until: datetime) -> None:
    with pytest.raises(ImpossibleAnswerError, match="a time to come"):
        change(Answer.SNOOZE, Status.PENDING, start_at=LATER, now=NOW, until=until)
