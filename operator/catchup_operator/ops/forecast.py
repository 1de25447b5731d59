"""A forecast of the pods that start and of the requests to Google, for each minute of the next 24 hours. No I/O.

Thousands of schedules can be reasonable one by one and a peak together: every digest on Sunday at nine. For each minute
above a limit the forecast names the setting that would flatten it. Users of a pool start no pods; its ticks do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, assert_never

from catchup_contract.api import SYNC_INTERVALS_MINUTES
from catchup_contract.cadence import CALENDAR_LIST_MINUTES
from catchup_contract.kinds import SYNC, Kind, Rule, user_kinds
from catchup_operator.schedule.fields import InvalidSpecError
from catchup_operator.schedule.schedule_pool import SchedulePool
from catchup_operator.schedule.suspension import Suspension
from catchup_operator.schedule.user_schedule import UserSchedule
from catchup_operator.status.job_section import section_of
from catchup_operator.status.validation import with_valid_status

MINUTES: Final = 24 * 60
_LISTS_A_DAY: Final = MINUTES // CALENDAR_LIST_MINUTES
# A sync asks for the changes of one calendar. Kinds that are not named here send none.
_MIN_REQUESTS: Final = {SYNC: 1}
"""The least number of requests to Google per run that `forecast` counts; a count in the status overrides it."""
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Peak:
    """A minute above a limit; `advice` names the setting that would flatten it."""

    at: datetime
    pods: int
    requests: int
    advice: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """Counts for each of the 1,440 minutes from `start` (UTC, a full minute).

    Attributes:
        starts: for each kind and minute the pods that start, by what flattens them.
        asked: for each minute the expected requests to Google, by what flattens them.
        lists: requests for calendar lists, one for each synced user at some minute of the day.
        digest_spread: the window in minutes over which local times are spread.
    """

    start: datetime
    starts: Mapping[Kind, tuple[Counter[str], ...]]
    asked: tuple[Counter[str], ...]
    lists: int
    digest_spread: int

    def pods_of(self, kind: Kind) -> tuple[int, ...]:
        """The pods of a kind that start, by minute."""
        return tuple(minute.total() for minute in self.starts[kind])

    @property
    def pods(self) -> tuple[int, ...]:
        """All pods that start, by minute."""
        return tuple(map(sum, zip(*map(self.pods_of, self.starts), strict=True)))

    @property
    def requests(self) -> tuple[int, ...]:
        """The expected requests to Google by minute, without those for lists."""
        return tuple(minute.total() for minute in self.asked)

    @property
    def requests_of_the_day(self) -> int:
        """All requests to Google in the 24 hours."""
        return sum(self.requests) + self.lists

    def peaks(self, *, max_pods: int, max_requests: int) -> list[Peak]:
        """Return the minutes above a limit, in order."""
        return [
            Peak(self.start + timedelta(minutes=minute), pods, requests, self._advice(minute, pods > max_pods))
            for minute, (pods, requests) in enumerate(zip(self.pods, self.requests, strict=True))
            if pods > max_pods or requests > max_requests
        ]

    def _advice(self, minute: int, too_many_pods: bool) -> str:
        if not too_many_pods:
            ((setting, requests),) = self.asked[minute].most_common(1)
            return setting.format(f"{requests} of the requests")
        kind = max(self.starts, key=lambda kind: self.starts[kind][minute].total())
        ((setting, pods),) = self.starts[kind][minute].most_common(1)
        return setting.format(f"{pods} of the pods")


def forecast(
    bodies: Iterable[Mapping[str, Any]],
    now: datetime,
    *,
    pools: Iterable[Mapping[str, Any]] = (),
    digest_spread: int = 0,
) -> Forecast:
    """Return what UserSchedules and SchedulePools start in the 24 hours after `now` (aware).

    The members of a pool of the database are those that its status counts. What is suspended until a time within these
    24 hours counts from then on. `digest_spread` is the operator's option, in minutes; another value shows what it
    would change.
    """
    start = now.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    day = _Day(start, digest_spread)
    known: dict[tuple[str, str], _Serving] = {}
    for body in map(with_valid_status, pools):
        with suppress(InvalidSpecError):
            pool = SchedulePool.from_body(body).at(now)
            first = day.first_minute(body, suspend=pool.suspend, suspension=pool.suspension)
            if first is not None:
                known[pool.namespace, pool.name] = _Serving(pool, first)
                day.add_ticks(pool, first, members=int((body.get("status") or {}).get("members") or 0))
    for body in map(with_valid_status, bodies):
        with suppress(InvalidSpecError):
            schedule = UserSchedule.from_body(body, digest_spread=digest_spread).at(now)
            first = day.first_minute(body, suspend=schedule.suspend, suspension=schedule.suspension)
            if first is None:
                continue
            serving = known.get((schedule.namespace, schedule.pool)) if schedule.pool else None
            if not schedule.pool:
                day.add_user(body, schedule, first, None)
            elif serving is not None and serving.pool.admits_schedules:
                day.add_user(body, schedule, max(first, serving.first), serving.pool)
    return day.forecast()


@dataclass(frozen=True, slots=True)
class _Serving:
    """A pool, and the minute from which it serves."""

    pool: SchedulePool
    first: int


class _Day:
    """Counts by minute, while they are made."""

    def __init__(self, start: datetime, digest_spread: int) -> None:
        self._start = start
        self._digest_spread = digest_spread
        self._starts: dict[Kind, list[Counter[str]]] = {
            kind: [Counter() for _ in range(MINUTES)] for kind in user_kinds()
        }
        self._asked: list[Counter[str]] = [Counter() for _ in range(MINUTES)]
        self._lists = 0

    def first_minute(self, body: Mapping[str, Any], *, suspend: bool, suspension: Suspension | None) -> int | None:
        """Return the minute from which a resource starts anything, None where it does not within the day."""
        if (body.get("status") or {}).get("conflictsWith") or (suspend and suspension is None):
            return None
        if suspension is None:
            return 0
        first = -((self._start - suspension.until) // timedelta(minutes=1))
        return max(first, 0) if first < MINUTES else None

    def add_user(self, body: Mapping[str, Any], schedule: UserSchedule, first: int, pool: SchedulePool | None) -> None:
        """Add the runs of a UserSchedule from a minute on: pods of its own, or none where those of a pool make them."""
        for kind, section in schedule.sections.items():
            if not section.enabled or (pool is not None and not pool.sections[kind].enabled):
                continue
            per_run = _requests_per_run(body, kind)
            self._lists += _LISTS_A_DAY * (kind is SYNC)
            setting = self._setting(kind, " ".join(section.chosen.spec_fields.values()), schedule.time_zone)
            for minute in _firings(section.effective.cron_schedule(), self._start):
                if minute < first:
                    continue
                self._starts[kind][minute][setting] += pool is None
                self._asked[minute][setting] += per_run

    def add_ticks(self, pool: SchedulePool, begin: int, *, members: int) -> None:
        """Add the pods of a pool's ticks from a minute on, and the requests for its members in the database."""
        for kind, section in pool.sections.items():
            if not section.enabled:
                continue
            spec = f"spec.{user_kinds()[kind].spec_section}"
            setting = f"{spec}.tick and shards of the SchedulePool {pool.name}: {{}} are its {kind}s"
            first = begin + -(self._start.hour * 60 + self._start.minute + begin) % section.tick_minutes
            for minute in range(first, MINUTES, section.tick_minutes):
                self._starts[kind][minute][setting] += section.shards
            if pool.admits_schedules or kind not in _MIN_REQUESTS:
                continue
            self._lists += _LISTS_A_DAY * members
            every = section.fields["every"]
            setting = f"{spec}.every of the SchedulePool {pool.name}: {{}} are {kind}s every {every}"
            interval, requests = SYNC_INTERVALS_MINUTES[every], members * _MIN_REQUESTS[kind]
            for minute in range(begin, MINUTES):
                # Members are spread evenly over the interval.
                self._asked[minute][setting] += (minute + 1) * requests // interval - minute * requests // interval

    def forecast(self) -> Forecast:
        """Return what was added."""
        starts = {kind: tuple(map(_positive, minutes)) for kind, minutes in self._starts.items()}
        return Forecast(self._start, starts, tuple(map(_positive, self._asked)), self._lists, self._digest_spread)

    def _setting(self, kind: Kind, timetable: str, zone: str) -> str:
        work = user_kinds()[kind]
        match work.rule:
            case Rule.INTERVAL:
                return f"spec.{work.spec_section}.every: {{}} are {kind}s every {timetable}"
            case Rule.LOCAL_TIME:
                spread = f"operator.digestSpreadMinutes is {self._digest_spread}"
                return f"spec.{work.spec_section}.time: {{}} are {kind}s of {timetable} {zone}, and {spread}"
            case _:
                assert_never(work.rule)


def _positive(counter: Counter[str]) -> Counter[str]:
    return +counter


def _requests_per_run(body: Mapping[str, Any], kind: Kind) -> int:
    counts = section_of(body, kind).get("counts") or {}
    return int(counts.get("apiRequests") or _MIN_REQUESTS.get(kind, 0))


@lru_cache(maxsize=16384)
def _firings(cron: str, start: datetime) -> tuple[int, ...]:
    """Return the minutes after `start` at which a CronJob fires; many users share a schedule."""
    minutes, hours, _, _, days = cron.split(" ")
    firings = set()
    for distance in (0, 1):
        day = (start + distance * _DAY).date()
        # Cron counts the days of the week from Sunday.
        if days != "*" and str(day.isoweekday() % 7) not in days.split(","):
            continue
        for hour in range(24) if hours == "*" else map(int, hours.split(",")):
            for minute in map(int, minutes.split(",")):
                at = datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
                firings.add((at - start) // timedelta(minutes=1))
    return tuple(sorted(minute for minute in firings if 0 <= minute < MINUTES))
