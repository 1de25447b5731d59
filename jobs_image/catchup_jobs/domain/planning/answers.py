"""How a user answers a suggestion: which answers are possible when, and what they change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from catchup_jobs.domain.stored_enums import CURRENT_SUGGESTIONS, OPEN_SUGGESTIONS, SuggestionStatus

SNOOZE: Final = timedelta(days=7)
"""How long a snoozed contact rests where the answer names no time."""
LONGEST_SNOOZE: Final = timedelta(days=366)
"""The longest snooze."""


class Answer(StrEnum):
    """How a user may answer a suggestion; the values are the subcommands of `catchup-jobs suggestion`."""

    ACCEPT = "accept"
    DISMISS = "dismiss"
    SNOOZE = "snooze"


_BECOMES: Final = {
    Answer.ACCEPT: SuggestionStatus.ACCEPTED,
    Answer.DISMISS: SuggestionStatus.DISMISSED,
    Answer.SNOOZE: SuggestionStatus.SNOOZED,
}
# The statuses in which an answer is possible. An accepted suggestion can still be called off.
_POSSIBLE_FROM: Final = {
    Answer.ACCEPT: OPEN_SUGGESTIONS,
    Answer.DISMISS: CURRENT_SUGGESTIONS,
    Answer.SNOOZE: OPEN_SUGGESTIONS,
}


class ImpossibleAnswerError(ValueError):
    """The suggestion cannot be answered so any more; the message says why and names nobody."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an answer makes of a suggestion."""

    status: SuggestionStatus
    snoozed_until: datetime | None


def change(
    answer: Answer,
    status: SuggestionStatus,
    *,
    start_at: datetime,
    now: datetime,
    until: datetime | None = None,
) -> Change | None:
    """Return what an answer changes; None where the same answer was given before.

    Args:
        start_at: the proposed time (aware).
        until: for a snooze: until when (aware). None: for `SNOOZE`, or as long as it is snoozed already.

    Raises:
        ImpossibleAnswerError: it is too late for this answer, or `until` is not a time to come.
    """
    becomes = _BECOMES[answer]
    if until is not None and not now < until <= now + LONGEST_SNOOZE:
        raise ImpossibleAnswerError(
            f"a suggestion can be snoozed until a time to come, at most {LONGEST_SNOOZE.days} days away"
        )
    if status is becomes and until is None:
        return None
    if status not in _POSSIBLE_FROM[answer]:
        raise ImpossibleAnswerError(f"the suggestion is {status.value} already")
    if answer is Answer.ACCEPT and start_at <= now:
        raise ImpossibleAnswerError("the suggested time has passed")
    return Change(becomes, (until or now + SNOOZE) if answer is Answer.SNOOZE else None)
