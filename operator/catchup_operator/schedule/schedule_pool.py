"""The SchedulePool as the operator reads it, from a body that may be older than the schema's rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from catchup_contract.api import DEFAULT_SYNC_EVERY, SYNC_INTERVALS_MINUTES
from catchup_contract.kinds import Kind, Rule, user_kinds
from catchup_contract.pools import DEFAULT_TICK, POOL_NAME_FORM, POOL_NAME_PATTERN, SHARDS_MAX, TICKS_MINUTES, Members
from catchup_operator.schedule.fields import InvalidSpecError, boolean, mapping, one_of, whole_number
from catchup_operator.schedule.suspension import Suspension, in_force, suspension_of

_MEMBERS: Final = tuple(members.value for members in Members)
# The fields that a pool says for its members, with their values and default; days and times are each member's own.
_RULE_FIELDS: Final[Mapping[Rule, Mapping[str, tuple[tuple[str, ...], str]]]] = {
    Rule.INTERVAL: {"every": (tuple(SYNC_INTERVALS_MINUTES), DEFAULT_SYNC_EVERY)},
    Rule.LOCAL_TIME: {},
}


@dataclass(frozen=True, slots=True)
class PoolSection:
    """What a SchedulePool says of one kind of job.

    Attributes:
        tick: how often a pod looks who is due, a key of `pools.TICKS_MINUTES`.
        shards: how many pods share a tick.
        fields: what the pool says for its members, e.g. `{"every": "30m"}`.
    """

    enabled: bool
    tick: str
    shards: int
    fields: Mapping[str, str]

    @property
    def tick_minutes(self) -> int:
        """The tick in minutes."""
        return TICKS_MINUTES[self.tick]


@dataclass(frozen=True, slots=True)
class SchedulePool:
    """A pool: a section for each kind of job that a UserSchedule configures."""

    namespace: str
    name: str
    uid: str
    generation: int
    sections: Mapping[Kind, PoolSection]
    suspend: bool
    members: Members
    suspension: Suspension | None = None

    @property
    def admits_schedules(self) -> bool:
        """Whether UserSchedules may name the pool."""
        return self.members is Members.USER_SCHEDULES

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> SchedulePool:
        """Read the object as the API server stores it.

        Raises:
            InvalidSpecError: for the first field that breaks a rule.
        """
        metadata = body["metadata"]
        spec = mapping(body, "spec")
        members = one_of(spec, "members", _MEMBERS, _MEMBERS[0])
        sections = {}
        for kind, work in user_kinds().items():
            section = mapping(spec, work.spec_section)
            rule_fields = _RULE_FIELDS[work.rule].items()
            sections[kind] = PoolSection(
                enabled=boolean(section, "enabled", default=True),
                tick=one_of(section, "tick", tuple(TICKS_MINUTES), DEFAULT_TICK),
                shards=whole_number(section, "shards", 1, SHARDS_MAX, 1),
                fields={name: one_of(section, name, allowed, default) for name, (allowed, default) in rule_fields},
            )
        return cls(
            namespace=metadata["namespace"],
            name=_name(metadata),
            uid=metadata["uid"],
            generation=metadata["generation"],
            sections=sections,
            suspend=boolean(spec, "suspend", default=False),
            members=Members(members),
            suspension=suspension_of(spec),
        )

    def at(self, now: datetime) -> SchedulePool:
        """Return the pool as it is in force at `now` (aware); see `UserSchedule.at`."""
        suspend, suspension = in_force(self.suspend, self.suspension, now)
        return replace(self, suspend=suspend, suspension=suspension)


def _name(metadata: Mapping[str, Any]) -> str:
    if not re.fullmatch(POOL_NAME_PATTERN, metadata["name"]):
        raise InvalidSpecError(f"metadata.name must be {POOL_NAME_FORM}")
    return str(metadata["name"])
