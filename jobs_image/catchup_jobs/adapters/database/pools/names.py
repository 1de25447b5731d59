"""What a list of UserSchedules says of the users whom it names: who is a member of a pool, and who is none. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from catchup_contract.pools import Members
from catchup_contract.schedule_list import ListedSchedule, ScheduleList


@dataclass(frozen=True, slots=True)
class Names:
    """A list as the members of one pool are compared with it.

    Attributes:
        where: where the pool's members are.
        users: whom it names.
        wanted: the UserSchedules by which the pool serves somebody, by user.
        served: those by which anybody serves somebody, by user.
        generations: of each UserSchedule by its uid.
    """

    where: Members
    is_complete: bool
    users: frozenset[str]
    wanted: Mapping[str, ListedSchedule]
    served: Mapping[str, ListedSchedule]
    generations: Mapping[str, int]

    @classmethod
    def of(
        cls, listed: ScheduleList, pool: str, where: Members, *, is_readable: Callable[[ListedSchedule], bool]
    ) -> Names:
        """Read a list for a pool; what is not `is_readable` serves nobody."""
        served = [one for one in listed.schedules if one.is_served]
        mine = [one for one in served if one.pool == pool] if where is Members.USER_SCHEDULES else []
        return cls(
            where,
            listed.is_complete,
            frozenset(one.user_id for one in listed.schedules),
            {one.user_id: one for one in mine if is_readable(one)},
            {one.user_id: one for one in served},
            {one.uid: one.generation for one in listed.schedules},
        )

    def ends(self, member: Any) -> bool:
        """Return whether whom the pool has in `pool_members` is its member no more."""
        if member.user_id in self.wanted:
            return False
        if member.uid is None:
            # By enrolment nobody is served whom a UserSchedule names.
            return member.user_id in self.users or self.where is not Members.DATABASE
        generation = self.generations.get(member.uid)
        if self.is_complete:
            return generation is None or generation >= member.generation
        # A part may be older than the list by which this is a member.
        return generation is not None and generation > member.generation

    def is_news(self, member: Mapping[str, Any], stored: Any | None) -> bool:
        """Return whether a UserSchedule, as the row of `pool_members` that it makes, says other than what is stored."""
        if stored is None or stored.uid is None:
            return True
        if stored.uid != member["uid"]:
            return self.is_complete
        if stored.generation != member["generation"]:
            return bool(stored.generation < member["generation"])
        # Of the same generation the pool may be there now, or the operator spreads digests otherwise. A part of a list
        # that is not complete may be older than what is stored.
        return self.is_complete and any(getattr(stored, name) != value for name, value in member.items())
