"""A tick: serve the members of a pool who are due, several at once, until nobody is due or time is up.

Nobody shares a fate: each member has a run, a lock, a retry budget and dead letters of their own. A run that must wait
is put back, and the tick goes on with others. A member in whose run a process died is served while nobody else is.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Final

import structlog

from catchup_contract.kinds import Kind
from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_jobs.jobs.pool.claim_endings import DEATHS_MAX, is_ours, settlement_of
from catchup_jobs.jobs.pool.ports import Farewells, Member, PoolStore, Settlement
from catchup_jobs.jobs.run.endings import Report
from catchup_jobs.jobs.run.errors import JobError
from catchup_jobs.jobs.run.ports import Process

WORKERS: Final = 8
"""The members that a pool's pod serves at once."""
_SCHEDULED_AT_ONCE: Final = 500
_SCHEDULE_EVERY: Final = timedelta(seconds=1)
_ALONE_MAX: Final = timedelta(seconds=60)
"""After so much time with members in whose runs processes died, a pool's pod serves the others who are due."""
_CANDIDATES: Final = 200
# A claim and its end cost a transaction each, however many members they are about.
_CLAIMED_AT_ONCE: Final = 32
# Free workers look for members who have fallen due, however long the others take.
_LOOK_SECONDS: Final = 1.0
# On SIGTERM, too.
_LAST_SETTLEMENTS: Final = 3
# A process that has not settled a claim by then is dead.
CLAIM_MARGIN: Final = timedelta(seconds=60)
"""How long after its pod's deadline a claim of a pool's member ends."""
_LAST_CLAIM: Final = timedelta(seconds=60)
"""A pool's pod begins no run when its deadline is nearer than this."""
LINGER: Final = timedelta(seconds=15)
"""A pool's pod waits for a member who falls due within this time, such as after a retry's delay."""
GIVE_UP_AFTER: Final = 16
"""After so many runs in a row that failed for a cause of the installation, a pool's pod leaves the rest due."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker does for a member; both are called from several threads and raise nothing.

    Attributes:
        serve: makes the run of a member.
        give_up: closes that run with a dead letter, since processes died in it.
    """

    serve: Callable[[Member], Report]
    give_up: Callable[[Member], Report]


@dataclass(slots=True)
class TickResult:
    """What a tick did: counts of members by how their runs ended.

    Attributes:
        ours: runs that failed for a cause of the installation (`claim_endings.is_ours`).
        is_stopped: whether the tick left members due for such a cause.
    """

    served: int = 0
    failed: int = 0
    deferred: int = 0
    ours: int = 0
    last_of_ours: Report | None = None
    is_stopped: bool = False

    def add(self, report: Report) -> None:
        """Count a run."""
        if is_ours(report):
            self.ours += 1
            self.last_of_ours = report
        self.served += 1
        self.failed += report.summary.outcome is Outcome.FAILED
        self.deferred += report.summary.outcome is Outcome.RETRY


@dataclass
class Tick:
    """One tick of a pool for a kind of job.

    Attributes:
        deadline: when the process must have ended (UTC).
        farewells: what pods said that ended without the database, None where nothing keeps that.
    """

    kind: Kind
    store: PoolStore
    work: Work
    process: Process
    deadline: datetime
    workers: int = WORKERS
    farewells: Farewells | None = None
    _candidates: list[str] = field(default_factory=list)
    _claimed: list[Member] = field(default_factory=list)
    _settlements: list[Settlement] = field(default_factory=list)
    _ours_in_a_row: int = 0
    _is_stale: bool = True
    _scheduled: int = 0
    _scheduled_at: datetime | None = None
    _result: TickResult = field(default_factory=TickResult)

    def __call__(self) -> TickResult:
        """Serve whoever is due.

        Raises:
            JobError: the members cannot be read or claimed. Claims that could not be settled end by themselves.
        """
        with ThreadPoolExecutor(self.workers, thread_name_prefix="member") as executor:
            self._serve_all(executor)
        return self._result

    def _schedule(self, *, is_idle: bool) -> None:
        """Compute a page of the members whose schedule is new or changed; while runs are made, one in a second."""
        now = self.process.now()
        is_time = is_idle or self._scheduled_at is None or abs(now - self._scheduled_at) >= _SCHEDULE_EVERY
        if not (self._is_stale and is_time and self._may_begin()):
            return
        number = self.store.schedule(now=now, limit=_SCHEDULED_AT_ONCE)
        self._scheduled_at, self._scheduled = now, self._scheduled + number
        if number < _SCHEDULED_AT_ONCE:
            self._is_stale = False
            if self._scheduled:
                _log.info("computed when members are due", members=self._scheduled)
            self.store.release(now=self.process.now())

    def _serve_suspects(self) -> None:
        until = self.process.now() + _ALONE_MAX
        for user_id in self._suspects():
            if not self._may_begin() or self.process.now() >= until:
                return
            for member in self._claim([user_id]):
                _log.warning("a process died while it served this user, who is served alone", user=user_id)
                self._ended(*self._serve(member))
                self._settle()

    def _suspects(self) -> list[str]:
        """Return who was in flight when a process died. One that only could not settle its claims has not died."""
        now = self.process.now()
        suspects = self.store.suspects(now=now)
        if not (suspects and self.farewells and (ended := self.farewells.said(self.store.suspected(now=now)))):
            return suspects
        _log.info("pods ended by themselves while the database could not be used", pods=sorted(ended))
        self.store.acquit(ended, now=now)
        return self.store.suspects(now=now)

    def _serve_all(self, executor: ThreadPoolExecutor) -> None:
        in_flight: set[Future[tuple[Settlement, Report | None]]] = set()
        try:
            while True:
                is_idle = not (in_flight or self._claimed)
                self._schedule(is_idle=is_idle)
                if is_idle:
                    self._serve_suspects()
                for member in self._next(self.workers - len(in_flight)):
                    in_flight.add(executor.submit(self._serve, member))
                if in_flight:
                    done, in_flight = wait(in_flight, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED)
                    for future in done:
                        self._ended(*future.result())
                    if len(self._settlements) >= _CLAIMED_AT_ONCE or not (done and in_flight):
                        self._settle()
                elif not (self._is_stale and self._may_begin()) and not self._await_next():
                    return
        finally:
            # After an error of the store: what was begun is ended, and settled if that is possible.
            for future in in_flight:
                self._ended(*future.result())
            self._give_back()
            self._settle_at_last()

    def _settle_at_last(self) -> None:
        """Settle what is left, until it is time to end: an outage of the database is no fault of a member."""
        for tried in count(1):
            try:
                self._settle()
            except JobError as error:
                if tried >= _LAST_SETTLEMENTS and (self.process.stopping() or self.process.now() >= self.deadline):
                    _log.error("claims could not be settled, they end by themselves", members=len(self._settlements))
                    return
                if tried == 1:
                    _log.warning("claims cannot be settled yet", why=str(error))
                    # Now, since a pod that waits for a server may be killed. All runs have ended.
                    if self.farewells is not None:
                        self.farewells.say(self.process.process_id)
                self.process.sleep(_LOOK_SECONDS)
            else:
                return

    def _next(self, places: int) -> list[Member]:
        """Return as many claimed members as there are free workers; what is not begun any more is given back."""
        while self._may_begin() and len(self._claimed) < places and self._claim_some():
            pass
        if not self._may_begin():
            self._give_back()
            return []
        begun, self._claimed = self._claimed[:places], self._claimed[places:]
        return begun

    def _claim_some(self) -> bool:
        """Claim some of those who are due; return False where nobody is, or others hold them, as an import does."""
        if not self._candidates:
            self._candidates = self.store.due(now=self.process.now(), limit=_CANDIDATES)
        user_ids = self._candidates[:_CLAIMED_AT_ONCE]
        self._candidates = self._candidates[_CLAIMED_AT_ONCE:]
        claimed = self._claim(user_ids) if user_ids else []
        self._claimed += claimed
        return bool(claimed or self._candidates)

    def _give_back(self) -> None:
        now = self.process.now()
        self._settlements += [
            Settlement(member.user_id, now, member.slot if member.keeps_slot else None, member.deaths)
            for member in self._claimed
        ]
        self._claimed.clear()

    def _claim(self, user_ids: list[str]) -> list[Member]:
        return self.store.claim(
            user_ids, self.process.process_id, now=self.process.now(), until=self.deadline + CLAIM_MARGIN
        )

    def _may_begin(self) -> bool:
        return (
            not self.process.stopping()
            and not self._result.is_stopped
            and self.process.now() < self.deadline - _LAST_CLAIM
        )

    def _await_next(self) -> bool:
        """Wait for a member who falls due soon; return False if the tick is over."""
        if not self._may_begin():
            return False
        due_at = self.store.next_due_at()
        if due_at is None or due_at > self.process.now() + LINGER:
            return False
        seconds = (due_at - self.process.now()).total_seconds()
        # Whoever is due and could not be claimed is held by others.
        self.process.sleep(max(0.05, seconds) if seconds > 0 else _LOOK_SECONDS)
        return not self.process.stopping()

    def _serve(self, member: Member) -> tuple[Settlement, Report | None]:
        if member.slot is None and member.requested_at is None:
            # The schedule was edited after it was computed when the member is due.
            return Settlement(member.user_id, member.slots.after(self.process.now())), None
        make_report = self.work.give_up if member.deaths >= DEATHS_MAX else self.work.serve
        report = make_report(member)
        return settlement_of(report, member, now=self.process.now()), report

    def _ended(self, settlement: Settlement, report: Report | None) -> None:
        self._settlements.append(settlement)
        if report is not None:
            self._count(report)

    def _settle(self) -> None:
        if self._settlements:
            self.store.settle(self.process.process_id, self._settlements)
            # Not before: what is not written is written with the next ones.
            self._settlements = []

    def _count(self, report: Report) -> None:
        self._result.add(report)
        self._ours_in_a_row = self._ours_in_a_row + 1 if is_ours(report) else 0
        if self._ours_in_a_row >= GIVE_UP_AFTER and not self._result.is_stopped:
            self._result.is_stopped = True
            _log.error("runs fail for a cause of the installation, the rest stays due", runs=self._ours_in_a_row)


def exit_of(result: TickResult) -> tuple[Outcome, ExitCode, Reason | None]:
    """Return how a tick ends.

    0 where each failure is recorded with its user. Where nobody could be served for a cause of the installation, 78 for
    a setting and 75 for a server.
    """
    cause = result.last_of_ours
    if cause is None or not (result.is_stopped or result.ours == result.served):
        return (Outcome.DONE, ExitCode.DONE, None)
    if cause.exit_code == ExitCode.MISCONFIGURED:
        return (Outcome.FAILED, ExitCode.MISCONFIGURED, Reason.MISCONFIGURED)
    # Also after unexpected errors: this process did not crash.
    return (Outcome.RETRY, ExitCode.TEMPORARY, cause.summary.reason)
