"""The ports of the suggestion job: the store of facts and suggestions, and the reporter of its progress."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from catchup_contract.outcomes import Reason
    from catchup_jobs.domain.planning.suggestions import Plan, UserFacts
    from catchup_jobs.jobs.run.ports import Fence

PROGRESS_KEPT_SECONDS: Final = 600
"""How long the progress of a run is kept where it is shown."""
# Why a user's facts are not there: a value that cannot be loaded, or more rows than are planned for one user.
UNREADABLE: Final = "UnreadableUser"
TOO_MUCH: Final = "TooMuch"


class TooMuchError(Exception):
    """The users asked for have more rows together than are held in memory at once: ask for fewer."""


@dataclass(frozen=True, slots=True)
class KnownUser:
    """A user as stored.

    Attributes:
        facts: None where they are not there, for the reason in `problem`.
        version: of the facts; a plan made from an older version is repeated.
        skipped: why the user gets no new suggestions, None for a user who may.
        has_open: whether there are open suggestions; a skipped user without any needs no plan.
    """

    user_id: str
    facts: UserFacts | None
    version: int
    skipped: Reason | None = None
    has_open: bool = False
    problem: str | None = None


@dataclass(slots=True)
class Saved:
    """The result of storing a batch's plans.

    Attributes:
        plans: those that were stored, by user id; some were repeated on newer facts.
        refused: users whose changes the database refused, with the class of its error.
    """

    plans: dict[str, Plan] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


class SuggestionStore(Protocol):
    """Users, what their suggestions are planned from, and the suggestions. Methods raise JobError."""

    def ids(self, *, after: str, limit: int) -> list[str]:
        """Return the next users' ids, in the order of their bytes."""
        ...

    def user_count(self) -> int:
        """Return how many users there are."""
        ...

    def known(self, user_ids: Sequence[str], *, now: datetime) -> list[KnownUser]:
        """Return what is stored of those users who still exist, in the order of their ids.

        Raises:
            TooMuchError: several users have more rows together than are held in memory at once.
        """
        ...

    def save(
        self,
        plans: Mapping[str, tuple[int, Plan]],
        *,
        again: Callable[[KnownUser], Plan],
        checkpoint: Callable[[Saved], dict[str, Any]],
        now: datetime,
        fence: Fence,
    ) -> Saved:
        """Store plans and the run's checkpoint in one transaction, refused to a stale process.

        Args:
            plans: version of the facts and plan, by user id. Where the database refuses a user's changes, the others'
                are stored; a deleted user is left out.
            again: plans a user whose facts changed meanwhile; called while the user's row is locked.
            checkpoint: returns the run's checkpoint to store in the same transaction.
        """
        ...


class ProgressReporter(Protocol):
    """Where a run shows its progress. Never raises: nothing depends on it."""

    def show(self, subject: str, fields: Mapping[str, str | int]) -> None:
        """Replace what is shown of a shard."""
        ...
