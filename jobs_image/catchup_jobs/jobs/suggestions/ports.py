"""What the suggestion job needs of the world: the store of facts and suggestions, and a place to show its progress."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from catchup_contract.outcomes import Reason
    from catchup_jobs.domain.planning.suggestions import Plan, UserFacts
    from catchup_jobs.jobs.run.ports import Fence


@dataclass(frozen=True, slots=True)
class KnownUser:
    """A user as they are stored.

    Attributes:
        facts: None where they cannot be read, with the reason in `skipped`.
        version: of the facts; a plan made from an older version is made anew.
        skipped: why the user gets nothing new, None for a user who may.
        has_open: whether there are suggestions that may have to change; without, and skipped, nothing can.
    """

    user_id: str
    facts: UserFacts | None
    version: int
    skipped: Reason | None
    has_open: bool


@dataclass(slots=True)
class Saved:
    """What became of a batch's plans.

    Attributes:
        plans: those that were stored, by user id; some were made anew.
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
        """Return what is stored of those users who still exist, in the order of their ids."""
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
            plans: version of the facts and plan, by user id. A user whose changes the database refuses loses only
                their own; one who is gone is left out.
            again: plans a user whose facts changed meanwhile; called while nobody else can change them.
            checkpoint: what the run is to know once this is stored.
        """
        ...


class ProgressBoard(Protocol):
    """Where a run shows how far it is. Never raises: nothing depends on it."""

    def show(self, subject: str, fields: Mapping[str, str | int]) -> None:
        """Replace what is shown of a shard."""
        ...
