"""The UserSchedule as the operator reads it, from a body that may be older than the schema's rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from catchup_contract.api import DEFAULT_PRIORITY, DEFAULT_TIME_ZONE, PRIORITIES, USER_ID_FORM, USER_ID_PATTERN
from catchup_contract.kinds import Kind, user_kinds
from catchup_contract.local_time import is_time_zone
from catchup_contract.pools import POOL_NAME_PATTERN
from catchup_operator.schedule.fields import InvalidSpecError, boolean, mapping, matching, one_of
from catchup_operator.schedule.suspension import Suspension, in_force, suspension_of
from catchup_operator.schedule.timetable import TIMETABLES, Timetable


@dataclass(frozen=True, slots=True)
class Section:
    """What a UserSchedule says of one kind of job.

    Attributes:
        chosen: the timetable of the spec.
        effective: the timetable by which the jobs run: the chosen one, moved within the operator's spread.
    """

    enabled: bool
    chosen: Timetable
    effective: Timetable


@dataclass(frozen=True, slots=True)
class UserSchedule:
    """One user's schedule: a section for each kind of job that a UserSchedule configures."""

    namespace: str
    name: str
    uid: str
    generation: int
    user_id: str
    time_zone: str
    sections: Mapping[Kind, Section]
    priority: str
    suspend: bool
    pool: str
    """The SchedulePool that serves the user, empty where CronJobs of the UserSchedule do."""
    suspension: Suspension | None = None

    @classmethod
    def from_body(cls, body: Mapping[str, Any], *, digest_spread: int = 0) -> UserSchedule:
        """Read the object as the API server stores it.

        The schema rejects bad values at `kubectl apply`. They are checked again because an object may be older than a
        rule of the schema, and because the values become arguments of a pod.

        Args:
            body: the object.
            digest_spread: the window in minutes over which local times are spread by the user's id; 0 for none.

        Raises:
            InvalidSpecError: for the first field that breaks a rule.
        """
        metadata = body["metadata"]
        spec = mapping(body, "spec")
        user_id = matching(spec, "userId", USER_ID_PATTERN, USER_ID_FORM)
        zone = _time_zone(spec)
        sections = {}
        for kind, work in user_kinds().items():
            section = mapping(spec, work.spec_section)
            chosen = TIMETABLES[work.rule].from_spec(section, kind, user_id, zone)
            sections[kind] = Section(
                enabled=boolean(section, "enabled", default=True),
                chosen=chosen,
                effective=chosen.spread(kind, user_id, digest_spread),
            )
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            generation=metadata["generation"],
            user_id=user_id,
            time_zone=zone.key,
            sections=sections,
            priority=one_of(spec, "priority", PRIORITIES, DEFAULT_PRIORITY),
            suspend=boolean(spec, "suspend", default=False),
            pool=matching(spec, "pool", f"({POOL_NAME_PATTERN})?", "the name of a SchedulePool, or empty", ""),
            suspension=suspension_of(spec),
        )

    def at(self, now: datetime) -> UserSchedule:
        """Return the schedule as it is in force at `now` (aware): `suspend` tells whether it is suspended then.

        `suspension` is left where it alone suspends the schedule.
        """
        suspend, suspension = in_force(self.suspend, self.suspension, now)
        return replace(self, suspend=suspend, suspension=suspension)


def _time_zone(spec: Mapping[str, Any]) -> ZoneInfo:
    value = spec.get("timeZone", DEFAULT_TIME_ZONE)
    if not isinstance(value, str) or not is_time_zone(value):
        raise InvalidSpecError(
            "timeZone must be an IANA time zone such as Europe/Berlin, and one that this operator's database has"
        )
    return ZoneInfo(value)


def pool_of(body: Mapping[str, Any]) -> str:
    """Return the SchedulePool that a body names; empty where it names none."""
    spec = body.get("spec")
    pool = spec.get("pool") if isinstance(spec, Mapping) else None
    return pool if isinstance(pool, str) else ""
