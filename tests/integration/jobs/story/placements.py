"""The pool of a story, and what the operator does for it: the list of UserSchedules, shards, pauses, moves in order."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from catchup_contract.api import DEFAULT_SYNC_EVERY
from catchup_contract.env import Env
from catchup_contract.kinds import Rule, user_kinds
from catchup_contract.pools import Members, Off
from catchup_contract.schedule_list import ListedSchedule, encode
from catchup_contract.timestamps import format_utc
from catchup_operator.state.known_schedules import STAY_SECONDS

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from integration.jobs.story.person import Person

    from catchup_contract.kinds import Kind

POOL: Final = "people"
# How long a pod may still find the list of before (the kubelet's period and the age of its cache).
_MOUNT_LAG: Final = timedelta(seconds=90)
# So that the users of a story are in parts of different age.
_PARTS: Final = 4
_WHOLE_AT_FIRST: Final = 3
# Longer than a tick's own: a minute is a second here, and one of the machine is not always enough for as much.
DEADLINE_SECONDS: Final = 900
# A claim of a pod that died is over by then.
CLAIM: Final = timedelta(seconds=DEADLINE_SECONDS + 60)


@dataclass
class Placements:
    """What the pods of the pool are told, and by when.

    Attributes:
        directory: each list is a folder there.
        members: where the pool's members are.
        shards: into how many shards each kind is divided.
        until: when a suspension of the pool is over, or was (UTC).
        requested_at: when a sync by hand was asked for (UTC), by user.
    """

    directory: Path
    members: Members = Members.USER_SCHEDULES
    shards: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(user_kinds(), 1))
    until: datetime | None = None
    requested_at: dict[str, datetime] = field(default_factory=dict)
    _told: list[tuple[datetime, Path, tuple[ListedSchedule, ...]]] = field(default_factory=list)
    _specs: dict[str, tuple[int, tuple[object, ...]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, people: list[Person], now: datetime) -> None:
        """Write the list, if it has changed."""
        with self._lock:
            listed = tuple(self._listed(person, now) for person in people if self._has_schedule(person))
            # Of whom an import is the edit.
            for person in people:
                self._note_edit(person, now)
            if self._told and self._told[-1][2] == listed:
                return
            number = len(self._told)
            folder = self.directory / f"list-{number}"
            folder.mkdir()
            for name, content in encode(listed, _PARTS, order=number + 1).items():
                (folder / name).write_bytes(content)
            self._told.append((now, folder, listed))

    def mounted(self, now: datetime, dice: random.Random) -> Path:
        """Return the list as a pod finds it: shortly after a change, perhaps the one before, or parts of both."""
        with self._lock:
            told, folder, _ = self._told[-1]
            if len(self._told) < 2 or now - told >= _MOUNT_LAG:
                return folder
            before, age = self._told[-2][1], dice.random()
            # Before a complete list was read nobody is served: the first ones are not mixed.
            if age < 0.25 and len(self._told) > _WHOLE_AT_FIRST:
                return self._mixed([before, folder], dice)
            return before if age < 0.5 else folder

    def _mixed(self, folders: list[Path], dice: random.Random) -> Path:
        """Return a list of which each file is of one of these: Kubernetes renews one ConfigMap after the other."""
        mixed = self.directory / f"list-{len(self._told)}-{dice.getrandbits(32):08x}"
        mixed.mkdir(exist_ok=True)
        for file in sorted(folders[-1].iterdir()):
            (mixed / file.name).write_bytes((dice.choice(folders) / file.name).read_bytes())
        return mixed

    def environment(self, kind: Kind, folder: Path, now: datetime) -> dict[str, str]:
        """Return what the operator sets in the pods of the pool."""
        has_due_dates = kind.user_work is not None and kind.user_work.rule is Rule.LOCAL_TIME
        since = self.resumed(now)
        return {
            **({Env.DIGEST_SINCE: format_utc(since)} if since is not None and has_due_dates else {}),
            **({Env.POOL_OFF: Off.SUSPENDED.value} if self.is_off(now) else {}),
            Env.POOL_MEMBERS: self.members.value,
            Env.POOL_TICK: "1m",
            Env.SCHEDULE_LIST: str(folder),
            Env.SYNC_EVERY: DEFAULT_SYNC_EVERY,
            Env.DEADLINE_SECONDS: str(DEADLINE_SECONDS),
        }

    def is_off(self, now: datetime) -> bool:
        """Whether the pool is suspended."""
        return self.until is not None and now < self.until

    def resumed(self, now: datetime) -> datetime | None:
        """Return when the pool was resumed last (UTC), None for never."""
        return None if self.is_off(now) else self.until

    def _has_schedule(self, person: Person) -> bool:
        return not (person.pooled and self.members is Members.DATABASE)

    def _note_edit(self, person: Person, now: datetime) -> int:
        """Return the generation of a UserSchedule, one more than before after each edit."""
        spec = (person.schedules, person.pooled, person.zone, person.day, person.at, person.suspended, person.until)
        generation, before = self._specs.get(person.id, (0, ()))
        if spec != before:
            generation += 1
            self._specs[person.id] = (generation, spec)
            if spec[2:] != before[2:]:
                person.edited = now
        return generation

    def _listed(self, person: Person, now: datetime) -> ListedSchedule:
        asked, generation = self.requested_at.get(person.id), self._note_edit(person, now)
        is_member = self.members is Members.USER_SCHEDULES and (person.pooled or stays(person, now))
        return ListedSchedule(
            person.id,
            f"uid-{person.id}-{person.schedules}",
            generation,
            POOL if is_member else "",
            person.zone,
            DEFAULT_SYNC_EVERY,
            person.day,
            person.at,
            is_served=not person.suspended,
            digest_since=format_utc(person.active_since(now)),
            # With an end, the clock of the pods ends it.
            suspended_until=format_utc(person.until) if person.until is not None else "",
            sync_requested_at=format_utc(asked) if asked else "",
        )


def stays(person: Person, now: datetime) -> bool:
    """Whether a user who left the pool is still on the list as a member, so that each pod has seen it."""
    return person.joined is not None and now - person.joined < timedelta(seconds=STAY_SECONDS)
