"""A forecast of the pods that start and of the requests to Google, for each minute of the next 24 hours. No I/O.

Thousands of schedules can be reasonable one by one and a peak together: every digest on Sunday at nine. For each minute
above a limit the forecast names the setting that would flatten it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, assert_never

from catchup_contract.kinds import SYNC, Kind, Rule, user_kinds
from catchup_operator.schedule.fields import InvalidSpecError
from catchup_operator.schedule.user_schedule import UserSchedule
from catchup_operator.status.job_section import section_of
from catchup_operator.status.validation import with_valid_status

MINUTES: Final = 24 * 60
# A sync lists the calendars and the changes of one of them. Kinds that are not named here send none.
_MIN_REQUESTS: Final = {SYNC: 2}
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
        starts: for each kind and minute the pods that start, by the timetable of their schedules.
        requests: the expected requests to Google.
        digest_spread: the window in minutes over which local times are spread.
    """

    start: datetime
    starts: Mapping[Kind, tuple[Counter[str], ...]]
    requests: tuple[int, ...]
    digest_spread: int

    def pods_of(self, kind: Kind) -> tuple[int, ...]:
        """The pods of a kind that start, by minute."""
        return tuple(minute.total() for minute in self.starts[kind])

    @property
    def pods(self) -> tuple[int, ...]:
        """All pods that start, by minute."""
        return tuple(map(sum, zip(*map(self.pods_of, self.starts), strict=True)))

    def peaks(self, *, max_pods: int, max_requests: int) -> list[Peak]:
        """Return the minutes above a limit, in order."""
        return [
            Peak(self.start + timedelta(minutes=minute), pods, requests, self._advice(minute, pods > max_pods))
            for minute, (pods, requests) in enumerate(zip(self.pods, self.requests, strict=True))
            if pods > max_pods or requests > max_requests
        ]

    def _advice(self, minute: int, too_many_pods: bool) -> str:
        kinds = self.starts if too_many_pods else _MIN_REQUESTS
        kind = max(kinds, key=lambda kind: self.starts[kind][minute].total())
        ((timetable, pods),) = self.starts[kind][minute].most_common(1)
        work = user_kinds()[kind]
        match work.rule:
            case Rule.INTERVAL:
                return f"spec.{work.spec_section}.every: {pods} of the pods are {kind}s every {timetable}"
            case Rule.LOCAL_TIME:
                spread = f"operator.digestSpreadMinutes is {self.digest_spread}"
                return f"spec.{work.spec_section}.time: {pods} of the pods are {kind}s of {timetable}, and {spread}"
            case _:
                assert_never(work.rule)


def forecast(bodies: Iterable[Mapping[str, Any]], now: datetime, *, digest_spread: int = 0) -> Forecast:
    """Return what the UserSchedules start in the 24 hours after `now` (aware).

    `digest_spread` is the operator's option, in minutes; another value shows what it would change.
    """
    start = now.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    starts: dict[Kind, list[Counter[str]]] = {kind: [Counter() for _ in range(MINUTES)] for kind in user_kinds()}
    requests = [0] * MINUTES
    for body in map(with_valid_status, bodies):
        try:
            schedule = UserSchedule.from_body(body, digest_spread=digest_spread).at(now)
        except InvalidSpecError:
            continue
        if schedule.suspend or schedule.pool or (body.get("status") or {}).get("conflictsWith"):
            continue
        for kind, section in schedule.sections.items():
            if not section.enabled:
                continue
            per_run = _requests_per_run(body, kind)
            timetable = " ".join(section.chosen.spec_fields.values())
            if section.chosen.has_due_dates:
                timetable += f" {schedule.time_zone}"
            for minute in _firings(section.effective.cron_schedule(), start):
                starts[kind][minute][timetable] += 1
                requests[minute] += per_run
    return Forecast(start, {kind: tuple(minutes) for kind, minutes in starts.items()}, tuple(requests), digest_spread)


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
