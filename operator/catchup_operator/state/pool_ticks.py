"""What is known of the statuses of SchedulePools: whether a tick is news, and whether ticks come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from catchup_contract.kinds import Kind, user_kinds
from catchup_contract.pools import DEFAULT_TICK, TICK_DEADLINE_SECONDS, counts_the_pool
from catchup_contract.summary import Count
from catchup_contract.trouble import TroublePage
from catchup_operator.manifests.names import Key, key_of
from catchup_operator.schedule.fields import InvalidSpecError
from catchup_operator.schedule.schedule_pool import SchedulePool
from catchup_operator.state.known_statuses import KnownStatuses
from catchup_operator.state.pools import PoolFacts, Pools
from catchup_operator.status.conditions import find_condition
from catchup_operator.status.job_section import switched_off
from catchup_operator.status.pool_status import OF_MEMBERS
from catchup_operator.status.results import FinishedJob, JobResult

TICKS_MISSED: Final = 3
"""So many ticks without an end of one, beside the deadline of a tick, count as ticks that do not come."""


@dataclass(slots=True)
class _Ticks:
    """What is known of one kind of a pool.

    Attributes:
        silence: how long no tick may end; None where the kind is switched off.
        heard_at: when the last tick ended, or was told to be missing.
        ended_at: when the last tick ended.
        status, reason: of the condition.
        set_hash, pages: of the members in trouble, and which pages of them are known.
        is_partial: whether a page of them is not known; at first none is.
        held: a count that waits to be written with that of another kind.
    """

    silence: timedelta | None
    heard_at: datetime
    tick: str = DEFAULT_TICK
    ended_at: datetime | None = None
    status: str = ""
    reason: str = ""
    set_hash: str = ""
    pages: set[int] = field(default_factory=set)
    is_partial: bool = True
    held: JobResult | None = None

    def note_page(self, page: TroublePage) -> None:
        if page.set_hash != self.set_hash:
            self.set_hash, self.pages = page.set_hash, set()
        self.pages.add(page.number)
        self.is_partial = len(self.pages) < page.pages


@dataclass(slots=True)
class _Pool:
    uid: str
    ticks: dict[Kind, _Ticks] = field(default_factory=dict)


class PoolTicks(KnownStatuses):
    """Tracks the statuses of pools. What is kept is lost at the operator's end; silence then begins anew."""

    def __init__(self, pools: Pools) -> None:
        super().__init__()
        self._all = pools
        self._ticking: dict[Key, _Pool] = {}

    def note(self, body: Mapping[str, Any], now: datetime) -> None:
        """Record a pool (with a valid status) that the watch reports, at `now` (aware)."""
        super().note(body, now)
        self._all.note(key_of(body), facts_of(body, now))
        uid, status = body["metadata"]["uid"], body.get("status") or {}
        known = self._ticking.get(key_of(body))
        if known is None or known.uid != uid:
            known = self._ticking[key_of(body)] = _Pool(uid)
        ticks_of = _ticks_of(body)
        for kind, silence in _silences(body, now).items():
            ticks = known.ticks.setdefault(kind, _Ticks(silence, now))
            ticks.tick = ticks_of.get(kind, ticks.tick)
            if ticks.silence is None:  # from now on
                ticks.heard_at = now
            condition = find_condition(status, user_kinds()[kind].condition)
            ticks.silence = silence
            ticks.status, ticks.reason = condition.get("status", ""), condition.get("reason", "")

    def note_finished(self, key: Key, finished: FinishedJob) -> None:
        """Record that a tick has ended."""
        known = self._ticking.get(key)
        if known is not None:
            ticks = known.ticks[finished.kind]
            ticks.ended_at = max(ticks.ended_at or finished.finished_at, finished.finished_at)
            ticks.heard_at = max(ticks.heard_at, finished.finished_at)

    def is_recorded(self, key: Key, finished: FinishedJob) -> bool | None:
        """Whether nothing is to be read and written for a tick that has ended; None while the pool is not known.

        Needed are the last ticks that count the pool, that failed, or that end well after one that did not, and those
        that tell a page of the members in trouble that is not known.
        """
        known = self._ticking.get(key)
        if known is None:
            return None
        ticks = known.ticks[finished.kind]
        if ticks.ended_at is not None and finished.finished_at < ticks.ended_at:
            return True
        if finished.failure or counts_the_pool(finished.slot, ticks.tick):
            return bool(super().is_recorded(key, finished))
        if ticks.is_partial:
            return False
        return ticks.status == "True" or ticks.reason in OF_MEMBERS

    def note_idle(self, key: Key, kind: Kind, job_name: str) -> None:
        """A tick that has nothing to add is known by its slot."""

    def note_result(self, key: Key, result: JobResult) -> None:
        """Record what a tick says of the members in trouble."""
        known = self._ticking.get(key)
        if known is None:
            return
        if result.trouble is not None:
            known.ticks[result.kind].note_page(result.trouble)
            self._all.note_trouble(key, result.kind, result.trouble)
        elif Count.MEMBERS in result.counts:
            known.ticks[result.kind].is_partial = False  # it tells no pages

    def hold(self, key: Key, result: JobResult) -> bool:
        """Keep a result that changes no condition; return False where it is to be written now.

        The counts of all kinds are written together: when the other kind's comes, or the next one of this kind.
        """
        known = self._ticking.get(key)
        if known is None or result.slot is None or Count.MEMBERS not in result.counts:
            return False
        mine = known.ticks[result.kind]
        others = [ticks for kind, ticks in known.ticks.items() if kind is not result.kind and ticks.silence is not None]
        if not others or mine.held is not None or any(ticks.held for ticks in others):
            return False
        mine.held = result
        return True

    def take_held(self, key: Key, kind: Kind) -> list[JobResult]:
        """Return the results that were kept of other kinds; that of this one is replaced by a newer one."""
        known = self._ticking.get(key)
        if known is None:
            return []
        held = [ticks.held for each, ticks in known.ticks.items() if each is not kind and ticks.held is not None]
        for ticks in known.ticks.values():
            ticks.held = None
        return held

    def overdue_kinds(self, body: Mapping[str, Any], now: datetime) -> list[Kind]:
        """Return the kinds of which no tick has ended for too long; they are told once in that time."""
        known = self._ticking.get(key_of(body))
        found = [] if known is None else [kind for kind, ticks in known.ticks.items() if _is_silent(ticks, now)]
        for kind in found:
            self._ticking[key_of(body)].ticks[kind].heard_at = now
        return found

    def overdue(self, now: datetime) -> set[Key]:
        """Return the pools of which ticks do not come, at `now` (aware)."""
        return {
            key for key, pool in self._ticking.items() if any(_is_silent(ticks, now) for ticks in pool.ticks.values())
        }

    def forget(self, key: Key) -> None:
        """Record that a pool is gone."""
        super().forget(key)
        self._all.forget(key)
        self._ticking.pop(key, None)


def facts_of(body: Mapping[str, Any], now: datetime) -> PoolFacts:
    """Return what UserSchedules must know of a pool, at `now` (aware).

    None may name one in whose place an older one of its name serves.
    """
    try:
        pool = SchedulePool.from_body(body).at(now)
    except InvalidSpecError:
        return PoolFacts(admits=False)
    off = {kind: why for kind in pool.sections if (why := switched_off(pool, kind)) is not None}
    return PoolFacts(
        admits=pool.admits_schedules and "conflictsWith" not in (body.get("status") or {}),
        off={kind: f"Pool{why}" for kind, why in off.items()},
    )


def _ticks_of(body: Mapping[str, Any]) -> dict[Kind, str]:
    """Return how often each kind looks who is due; nothing where the spec is invalid."""
    try:
        return {kind: section.tick for kind, section in SchedulePool.from_body(body).sections.items()}
    except InvalidSpecError:
        return {}


def _silences(body: Mapping[str, Any], now: datetime) -> dict[Kind, timedelta | None]:
    """Return by kind how long no tick may end, None where none is to come at `now` (aware)."""
    try:
        pool = SchedulePool.from_body(body).at(now)
    except InvalidSpecError:
        return dict.fromkeys(user_kinds())
    is_conflict = "conflictsWith" in (body.get("status") or {})
    deadline = timedelta(seconds=TICK_DEADLINE_SECONDS)
    return {
        kind: None
        if is_conflict or switched_off(pool, kind)
        else TICKS_MISSED * timedelta(minutes=section.tick_minutes) + deadline
        for kind, section in pool.sections.items()
    }


def _is_silent(ticks: _Ticks, now: datetime) -> bool:
    return ticks.silence is not None and now - ticks.heard_at > ticks.silence
