"""The suggestion job: every user of a shard, in batches by key, each batch in one transaction with the checkpoint.

A user who cannot be planned is counted and logged, and the others are planned. A run that is killed continues at the
batch where it stopped: user by user, so that one who kills it again is known and passed over. Memory does not depend on
the number of users, and the number of statements per batch is constant.
"""

from __future__ import annotations

import copy
import traceback
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import structlog

from catchup_contract.outcomes import Outcome, Reason
from catchup_contract.summary import Count
from catchup_contract.timestamps import format_utc
from catchup_jobs.domain.planning.options import DEFAULT_OPTIONS, PlanningOptions
from catchup_jobs.domain.planning.planner import plan
from catchup_jobs.domain.planning.suggestions import Plan
from catchup_jobs.jobs.run.checkpoint import Counts
from catchup_jobs.jobs.run.context import Result
from catchup_jobs.jobs.run.errors import PermanentError, unknown_user
from catchup_jobs.jobs.suggestions.reading import ReadBatch, Shard, one_ahead, pages, read

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from catchup_jobs.jobs.run.context import RunContext
    from catchup_jobs.jobs.suggestions.ports import KnownUser, ProgressReporter, Saved, SuggestionStore

_log = structlog.get_logger()

BATCH_SIZE: Final = 50
"""Users in a batch of the suggestions."""
_AFTER: Final = "after"
_BEGUN: Final = "begun"
_TRYING: Final = "trying"
_SKIPPED: Final = {
    Reason.PAUSED: Count.USERS_PAUSED,
    Reason.RECONNECT: Count.USERS_RECONNECT,
    Reason.NOT_CONNECTED: Count.USERS_NOT_CONNECTED,
    Reason.CALENDAR_STALE: Count.USERS_CALENDAR_STALE,
}
# Why a user is passed over: planning them ended two processes of the run.
FATAL: Final = "FatalUser"


class NoProgressReporter:
    """Shows nothing: without Redis, the run's row has its progress."""

    def show(self, subject: str, fields: Mapping[str, str | int]) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class FleetSuggestions:
    """The job for a shard. Called once per pass; a later pass, or process, continues after the last stored batch.

    Attributes:
        after: users up to this id are left out.
        options: of the installation.
    """

    store: SuggestionStore
    reporter: ProgressReporter
    shard: Shard = field(default_factory=Shard)
    batch_size: int = BATCH_SIZE
    after: str = ""
    options: PlanningOptions = DEFAULT_OPTIONS

    def __call__(self, context: RunContext) -> Result:
        """Make one pass.

        Raises:
            JobError: see `jobs.run.errors`.
        """
        progress = _Progress(context.checkpoint, after=self.after)
        total = self.store.user_count() // self.shard.of
        if progress.is_resumed:
            self._plan_one_by_one(context, progress)
        progress.begin()
        try:
            self._keep(context, progress.checkpoint)
            self._plan_all(context, progress, total)
        finally:
            # A process that dies does not come here.
            progress.end()
        counts = progress.counts()
        self._show(context, progress, total, "done")
        return Result(Outcome.DONE, Reason.PARTIAL if counts.get(Count.USERS_FAILED) else None, counts)

    def _plan_all(self, context: RunContext, progress: _Progress, total: int) -> None:
        batches = (
            batch
            for user_ids, after in pages(self.store, self.shard, self.batch_size, after=progress.after)
            for batch in read(self.store, user_ids, after, context.now)
        )
        with closing(one_ahead(batches)) as ahead:
            for batch in ahead:
                self._show(context, progress, total, "running")
                plan_batch(context, self.store, batch, progress, self.options)

    def _plan_one_by_one(self, context: RunContext, progress: _Progress) -> None:
        """Plan the batch in which an earlier pass stopped, and note before each user whose turn it is.

        A user for whom that note is there already ended the process that wrote it: they are passed over.
        """
        user_ids, _ = next(pages(self.store, self.shard, self.batch_size, after=progress.after), ([], ""))
        for user_id in user_ids:
            if progress.trying == user_id:
                _log.error("a user's planning ended the process", planned_user=user_id, error_class=FATAL)
                passed = progress.with_batch({Count.USERS: 1, Count.USERS_FAILED: 1}, user_id)
                self._keep(context, passed)
                progress.take(passed)
                continue
            self._keep(context, progress.with_trial(user_id))
            for batch in read(self.store, [user_id], user_id, context.now):
                plan_batch(context, self.store, batch, progress, self.options)

    def _keep(self, context: RunContext, checkpoint: dict[str, Any]) -> None:
        context.check_stop()
        self.store.save(
            {}, again=lambda _: Plan(), checkpoint=lambda _: checkpoint, now=context.now(), fence=context.fence
        )

    def _show(self, context: RunContext, progress: _Progress, total: int, state: str) -> None:
        counts = {count.value: number for count, number in progress.counts().items()}
        fields: dict[str, str | int] = {"state": state, "total": total, "at": format_utc(context.now()), **counts}
        if context.slot is not None:
            fields["slot"] = format_utc(context.slot)
        self.reporter.show(context.subject, fields)


@dataclass(frozen=True, slots=True)
class UserSuggestions:
    """The job for one user, by hand."""

    store: SuggestionStore
    user_id: str
    options: PlanningOptions = DEFAULT_OPTIONS

    def __call__(self, context: RunContext) -> Result:
        """Make one pass.

        Raises:
            PermanentError: there is no such user, or their facts make no plan.
            JobError: see `jobs.run.errors`.
        """
        progress = _Progress({}, after="")
        for batch in read(self.store, [self.user_id], "", context.now):
            plan_batch(context, self.store, batch, progress, self.options)
        counts = progress.counts()
        if not counts.get(Count.USERS):
            raise unknown_user()
        if counts.get(Count.USERS_FAILED):
            raise PermanentError("the user's suggestions could not be planned or stored: see the log")
        for reason, count in _SKIPPED.items():
            if counts.get(count):
                return Result(Outcome.SKIPPED, reason, counts)
        return Result(Outcome.DONE, None, counts)


def plan_batch(
    context: RunContext, store: SuggestionStore, read_batch: ReadBatch, progress: _Progress, options: PlanningOptions
) -> None:
    """Plan some users and store the changes and the progress in one transaction."""
    after = read_batch.after
    batch = _Batch(read_batch.now, options)
    for user in read_batch.users:
        batch.plan(user)
    context.check_stop()
    saved = store.save(
        batch.plans,
        again=batch.plan_again,
        checkpoint=lambda saved: progress.with_batch(batch.counts(saved), after),
        now=context.now(),
        fence=context.fence,
    )
    for user_id, error_class in saved.refused.items():
        _log.error("the database refused a user's suggestions", planned_user=user_id, error_class=error_class)
    progress.take(progress.with_batch(batch.counts(saved), after))


class _Batch:
    """The users of one batch, their plans, and their counts."""

    def __init__(self, now: datetime, options: PlanningOptions) -> None:
        self._options = options
        self.plans: dict[str, tuple[int, Plan]] = {}
        self._now = now
        self._counts: Counter[Count] = Counter()

    def plan(self, user: KnownUser) -> None:
        self._counts[Count.USERS] += 1
        if user.skipped is not None and user.facts is not None:
            self._counts[Count.USERS_SKIPPED] += 1
            self._counts[_SKIPPED[user.skipped]] += 1
        made = self._planned(user)
        if made is None:
            self._counts[Count.USERS_FAILED] += 1
        elif made:
            self.plans[user.user_id] = (user.version, made)

    def plan_again(self, user: KnownUser) -> Plan:
        return self._planned(user) or Plan()

    def _planned(self, user: KnownUser) -> Plan | None:
        if user.facts is None:
            _log.error("a user's facts cannot be read", planned_user=user.user_id, error_class=user.problem)
            return None
        if user.skipped is not None and not user.has_open:
            return Plan()
        try:
            return plan(user.facts, now=self._now, create=user.skipped is None, options=self._options)
        except Exception as error:  # noqa: BLE001 - one user's facts must not cost the others their suggestions
            # The message is left out, since it may quote personal data.
            places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
            _log.error(
                "a user's suggestions cannot be planned",
                planned_user=user.user_id,
                error_class=type(error).__qualname__,
                frames=places,
            )
            return None

    def counts(self, saved: Saved) -> dict[Count, int]:
        counts = Counter(self._counts)
        counts[Count.USERS_FAILED] += len(saved.refused)
        for made in saved.plans.values():
            counts[Count.SUGGESTIONS_CREATED] += len(made.created)
            counts[Count.SUGGESTIONS_MOVED] += len(made.moved)
            counts[Count.SUGGESTIONS_EXPIRED] += len(made.expired)
        return {count: number for count, number in counts.items() if number}


class _Progress:
    """How far a run is, stored in its checkpoint; JSON values only."""

    def __init__(self, checkpoint: dict[str, Any], *, after: str) -> None:
        self._checkpoint = checkpoint
        self._first = after

    @property
    def after(self) -> str:
        after: str = self._checkpoint.get(_AFTER, self._first)
        return after

    @property
    def checkpoint(self) -> dict[str, Any]:
        return self._checkpoint

    @property
    def is_resumed(self) -> bool:
        """Whether an earlier process died in this run."""
        return bool(self._checkpoint.get(_BEGUN))

    @property
    def trying(self) -> str | None:
        """The user who was being planned alone when an earlier process died."""
        return self._checkpoint.get(_TRYING)

    def begin(self) -> None:
        self._checkpoint[_BEGUN] = True

    def end(self) -> None:
        self._checkpoint.pop(_BEGUN, None)

    def with_trial(self, user_id: str) -> dict[str, Any]:
        """Return the checkpoint as it is while a user is planned alone; only a process that dies leaves it so."""
        return self._checkpoint | {_TRYING: user_id}

    def with_batch(self, counts: dict[Count, int], after: str) -> dict[str, Any]:
        """Return the checkpoint as it is when a batch is stored."""
        checkpoint = copy.deepcopy(self._checkpoint) | {_AFTER: after}
        checkpoint.pop(_TRYING, None)
        total = Counts(checkpoint)
        for count, number in counts.items():
            total.add(count, number)
        return checkpoint

    def take(self, checkpoint: dict[str, Any]) -> None:
        """Take over a checkpoint that was stored."""
        self._checkpoint.clear()
        self._checkpoint.update(checkpoint)

    def counts(self) -> dict[Count, int]:
        return Counts(self._checkpoint).all()
