"""When a kind of job runs for a user: one timetable for each rule of the table of kinds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, time
from typing import Any, ClassVar, Final, Protocol
from zoneinfo import ZoneInfo

from catchup_contract.api import (
    DEFAULT_DIGEST_DAY,
    DEFAULT_DIGEST_TIME,
    DEFAULT_SYNC_EVERY,
    SYNC_INTERVALS_MINUTES,
    TIME_OF_DAY_PATTERN,
)
from catchup_contract.cadence import Cadence
from catchup_contract.digest_rule import DigestDay, DigestTime
from catchup_contract.kinds import Kind, Rule
from catchup_operator.schedule.cron import interval_schedule, local_time_schedule
from catchup_operator.schedule.fields import matching, one_of


class Timetable(Protocol):
    """When a kind of job runs for one user.

    Attributes:
        has_due_dates: whether runs serve due dates. Then several firings serve the same date, and dates from before
            the schedule was created or resumed are not served.
    """

    has_due_dates: ClassVar[bool]

    @property
    def display(self) -> str:
        """The timetable as `kubectl get` prints it."""

    @property
    def spec_fields(self) -> Mapping[str, str]:
        """The fields of the spec's section that express the timetable."""

    def spread(self, kind: Kind, user_id: str, window: int) -> Timetable:
        """Return the timetable moved by the user's share of a window in minutes, where the rule allows that."""

    def cron_schedule(self) -> str:
        """Return when the CronJob fires, as a cron expression in UTC."""

    def starting_deadline(self, kind: Kind) -> int:
        """Return how late a slot may still start, in seconds."""

    def due_after(self, now: datetime) -> Iterator[datetime]:
        """Yield the due instants (UTC) later than `now` (aware), without end."""


@dataclass(frozen=True, slots=True)
class IntervalTimetable:
    """Runs at an even interval; the offset within it is a hash of the user's id.

    Attributes:
        every: the interval, a key of `catchup_contract.api.SYNC_INTERVALS_MINUTES`.
    """

    has_due_dates: ClassVar[bool] = False

    every: str
    cadence: Cadence

    @classmethod
    def from_spec(cls, section: Mapping[str, Any], kind: Kind, user_id: str, zone: ZoneInfo) -> IntervalTimetable:  # noqa: ARG003 - runs are in UTC
        """Read the section of the spec. Raises InvalidSpecError."""
        every = one_of(section, "every", tuple(SYNC_INTERVALS_MINUTES), DEFAULT_SYNC_EVERY)
        return cls(every, Cadence.of_user(kind.name, SYNC_INTERVALS_MINUTES[every], user_id))

    @property
    def display(self) -> str:
        """E.g. `every 30m`."""
        return f"every {self.every}"

    @property
    def spec_fields(self) -> Mapping[str, str]:
        """The field `every`."""
        return {"every": self.every}

    def spread(self, kind: Kind, user_id: str, window: int) -> IntervalTimetable:  # noqa: ARG002
        """Return the same timetable: users are spread over the whole interval already."""
        return self

    def cron_schedule(self) -> str:
        """Return when the CronJob fires, in UTC."""
        return interval_schedule(self.cadence)

    def starting_deadline(self, kind: Kind) -> int:
        """Return the kind's own, or a longer one where runs are rare."""
        return self.cadence.starting_deadline(kind.deadlines.starting)

    def due_after(self, now: datetime) -> Iterator[datetime]:
        """Yield the runs (UTC) later than `now` (aware), without end."""
        return self.cadence.due_after(now)


@dataclass(frozen=True, slots=True)
class LocalTimetable:
    """Runs on a day and at a time of the user's clock."""

    has_due_dates: ClassVar[bool] = True

    when: DigestTime

    @classmethod
    def from_spec(cls, section: Mapping[str, Any], kind: Kind, user_id: str, zone: ZoneInfo) -> LocalTimetable:  # noqa: ARG003 - see `spread`
        """Read the section of the spec. Raises InvalidSpecError."""
        day = one_of(section, "day", tuple(DigestDay), DEFAULT_DIGEST_DAY)
        at = matching(section, "time", TIME_OF_DAY_PATTERN, "HH:MM", DEFAULT_DIGEST_TIME)
        return cls(DigestTime(zone, DigestDay(day), time.fromisoformat(at)))

    @property
    def display(self) -> str:
        """E.g. `Sunday 09:00`."""
        return f"{self.when.day} {self.when.at:%H:%M}"

    @property
    def spec_fields(self) -> Mapping[str, str]:
        """The fields `day` (an English day name or `Daily`) and `time` (HH:MM)."""
        return {"day": self.when.day.value, "time": f"{self.when.at:%H:%M}"}

    def spread(self, kind: Kind, user_id: str, window: int) -> LocalTimetable:
        """Return the user's own time within the `window` minutes that begin at the chosen time."""
        return replace(self, when=self.when.spread(kind.name, user_id, window))

    def cron_schedule(self) -> str:
        """Return when the CronJob fires: at each due instant, at its follow-ups, and perhaps when nothing is due."""
        return local_time_schedule(self.when)

    def starting_deadline(self, kind: Kind) -> int:
        """Return the kind's own."""
        return kind.deadlines.starting

    def due_after(self, now: datetime) -> Iterator[datetime]:
        """Yield the due instants (UTC) later than `now` (aware), without end; follow-ups are not among them."""
        return self.when.due_after(now)


TIMETABLES: Final[Mapping[Rule, type[IntervalTimetable | LocalTimetable]]] = {
    Rule.INTERVAL: IntervalTimetable,
    Rule.LOCAL_TIME: LocalTimetable,
}
