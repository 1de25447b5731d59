"""How many pods start, and how many Google requests they make, in each minute of the next day; pure.

Thousands of schedules are each reasonable and together a herd: everybody's digest is on Sunday at nine. This counts the
herd before it comes, and names the setting that would scatter it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from catchup_contract.kinds import Job
from catchup_contract.timestamps import format_utc
from catchup_operator.manifests.cronjob import digest_times, sync_cadence
from catchup_operator.schedule.digest_times import CronSchedule
from catchup_operator.schedule.user_schedule import InvalidSpecError, UserSchedule
from catchup_operator.status.validation import readable

MINUTES: Final = 24 * 60
# The calendar list and one calendar's changes: the least that a sync asks for. A status that tells more is believed.
_REQUESTS_OF_A_SYNC: Final = 2
_DAY: Final = timedelta(days=1)
_PEAKS_SHOWN: Final = 10
_BARS: Final = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Peak:
    """A minute above a limit, and what would flatten it."""

    at: datetime
    pods: int
    requests: int
    advice: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """Counts for each of the 1,440 minutes from `start` (UTC, a full minute).

    Attributes:
        syncs_by_interval, digests_by_time: pods that start, by what their schedules say.
        requests: expected requests to Google.
        digest_spread: over how many minutes after their time digests are spread.
    """

    start: datetime
    syncs_by_interval: tuple[Counter[str], ...]
    digests_by_time: tuple[Counter[str], ...]
    requests: tuple[int, ...]
    digest_spread: int

    @property
    def syncs(self) -> tuple[int, ...]:
        """Syncs that start, by minute."""
        return tuple(minute.total() for minute in self.syncs_by_interval)

    @property
    def digests(self) -> tuple[int, ...]:
        """Digests that start, by minute."""
        return tuple(minute.total() for minute in self.digests_by_time)

    @property
    def pods(self) -> tuple[int, ...]:
        """All pods that start, by minute."""
        return tuple(map(sum, zip(self.syncs, self.digests, strict=True)))

    def peaks(self, *, max_pods: int, max_requests: int) -> list[Peak]:
        """Return the minutes above a limit, in order."""
        return [
            Peak(self.start + timedelta(minutes=minute), pods, requests, self._advice(minute, pods > max_pods))
            for minute, (pods, requests) in enumerate(zip(self.pods, self.requests, strict=True))
            if pods > max_pods or requests > max_requests
        ]

    def _advice(self, minute: int, too_many_pods: bool) -> str:
        syncs, digests = self.syncs_by_interval[minute], self.digests_by_time[minute]
        if too_many_pods and digests.total() > syncs.total():  # digests ask Google for nothing
            ((times, pods),) = digests.most_common(1)
            spread = f"operator.digestSpreadMinutes is {self.digest_spread}"
            return f"spec.digest.time: {pods} of the pods are digests of {times}, and {spread}"
        ((every, pods),) = syncs.most_common(1)
        return f"spec.calendarSync.every: {pods} of the pods are syncs every {every}"


def forecast(bodies: Iterable[Mapping[str, Any]], now: datetime, *, digest_spread: int = 0) -> Forecast:
    """Return what the UserSchedules will start in the 24 hours after `now` (aware).

    `digest_spread` is the operator's setting, in minutes; another one answers what it would change.
    """
    start = now.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    syncs: list[Counter[str]] = [Counter() for _ in range(MINUTES)]
    digests: list[Counter[str]] = [Counter() for _ in range(MINUTES)]
    requests = [0] * MINUTES
    for body in map(readable, bodies):
        try:
            schedule = UserSchedule.from_body(body)
        except InvalidSpecError:
            continue
        if schedule.suspend or (body.get("status") or {}).get("conflictsWith"):
            continue
        if schedule.sync_enabled:
            each = _requests_of(body)
            cadence = sync_cadence(schedule)
            first = (cadence.next_after(start - timedelta(minutes=1)) - start) // timedelta(minutes=1)
            for minute in range(first, MINUTES, cadence.interval):
                syncs[minute][schedule.sync_every] += 1
                requests[minute] += each
        if schedule.digest_enabled:
            times = f"{schedule.digest_day} {schedule.digest_time} {schedule.time_zone}"
            for minute in _firings(digest_times(schedule, digest_spread).schedule(), start):
                digests[minute][times] += 1
    return Forecast(start, tuple(syncs), tuple(digests), tuple(requests), digest_spread)


def _requests_of(body: Mapping[str, Any]) -> int:
    counts = ((body.get("status") or {}).get(Job.SYNC.value) or {}).get("counts") or {}
    return int(counts.get("apiRequests") or _REQUESTS_OF_A_SYNC)


@lru_cache(maxsize=16384)
def _firings(schedule: CronSchedule, start: datetime) -> tuple[int, ...]:
    """Return the minutes after `start` at which a digest's CronJob fires; many users share each schedule."""
    minutes, hours, _, _, days = schedule.cron.split(" ")
    zone = ZoneInfo(schedule.time_zone)
    found = set()
    for distance in (-1, 0, 1, 2):
        day = (start.astimezone(zone) + distance * _DAY).date()
        # Cron counts the days of the week from Sunday.
        if days != "*" and str(day.isoweekday() % 7) not in days.split(","):
            continue
        for hour in map(int, hours.split(",")):
            for minute in map(int, minutes.split(",")):
                at = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone).astimezone(UTC)
                found.add((at - start) // timedelta(minutes=1))
    return tuple(sorted(minute for minute in found if 0 <= minute < MINUTES))


def draw(values: tuple[int, ...], start: datetime, *, limit: int) -> list[str]:
    """Return a line per hour of the day: a bar per minute, scaled to the highest, `!` above the limit."""
    highest = max(*values, 1)
    lines = []
    for first in range(0, MINUTES, 60):
        hour = values[first : first + 60]
        bars = "".join("!" if value > limit else _BARS[-(-value * (len(_BARS) - 1) // highest)] for value in hour)
        at = start + timedelta(minutes=first)
        lines.append(f"{at:%H:%M} {bars} {sum(hour):>8} {max(hour):>7}/min")
    return lines


def as_text(found: Forecast, *, max_pods: int, max_requests: int) -> str:
    """Return what a terminal shows."""
    lines = [f"From {found.start:%Y-%m-%d %H:%M} UTC; a bar a minute.", "", "Pods that start:"]
    lines += draw(found.pods, found.start, limit=max_pods)
    lines += ["", "Requests to Google:", *draw(found.requests, found.start, limit=max_requests)]
    peaks = found.peaks(max_pods=max_pods, max_requests=max_requests)
    lines += ["", f"{len(peaks)} minutes above {max_pods} pods or {max_requests} requests" + (":" if peaks else ".")]
    for peak in sorted(peaks, key=lambda each: (-each.pods, each.at))[:_PEAKS_SHOWN]:
        lines.append(f"  {peak.at:%a %H:%M}  {peak.pods} pods, {peak.requests} requests; {peak.advice}")
    return "\n".join(lines)


def as_json(found: Forecast, *, max_pods: int, max_requests: int) -> str:
    """Return the same for programs: `start`, a number per minute, and the peaks."""
    document = {
        "start": format_utc(found.start),
        "syncPods": found.syncs,
        "digestPods": found.digests,
        "googleRequests": found.requests,
        "peaks": [
            {"at": format_utc(peak.at), "pods": peak.pods, "googleRequests": peak.requests, "advice": peak.advice}
            for peak in found.peaks(max_pods=max_pods, max_requests=max_requests)
        ],
    }
    return json.dumps(document)
