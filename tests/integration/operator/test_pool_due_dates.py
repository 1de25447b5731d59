"""No due date of a digest is lost or doubled by a pool, whatever the clocks and its ticks do.

The members of a pool have every time of day around each jump of each clock (`test_digest_due_dates.py`); zones whose
clocks jump alike at that moment count once. The pool is the real one, in a database: ticks compute, claim and settle.
Some ticks are lost, for minutes or hours, some are played by two pods at once. A sample of the jumps here; all with
`make test-due-dates` (or CATCHUP_ALL_DUE_DATES=1).
"""

from __future__ import annotations

import random
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from integration.operator.test_digest_due_dates import EVERYTHING, clocks, times_of_day
from sqlalchemy import delete

from catchup_contract.digest_rule import DigestDay, DigestTime, occurrence_of_slot
from catchup_contract.kinds import DIGEST
from catchup_contract.outcomes import ExitCode, Outcome
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.people.users import DatabaseUsers
from catchup_jobs.adapters.database.pools.claims import PoolSlots
from catchup_jobs.adapters.database.schema import users
from catchup_jobs.domain.calendar.availability import AvailabilityParameters
from catchup_jobs.domain.people.users import Schedule, User
from catchup_jobs.jobs.pool import tick
from catchup_jobs.jobs.pool.ports import Member
from catchup_jobs.jobs.pool.tick import Tick, Work
from catchup_jobs.jobs.run.endings import Ending, Report, report_of
from catchup_jobs.jobs.run.ports import Process
from catchup_operator.schedule.clock_changes import Jump, jumps

pytestmark = [pytest.mark.xdist_group("due-dates"), pytest.mark.usefixtures("zones_of_the_images")]

POOL: Final = "people"
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
# A tick ends so long before its deadline; members are served at once in these tests.
DEADLINE: Final = timedelta(seconds=300)
# No tick comes for so long at most, so that a digest which falls due then is served within its four hours.
LONGEST_GAP: Final = timedelta(hours=3)


def windows() -> dict[datetime, list[tuple[str, Jump]]]:
    """By the instant of a jump, a zone for each way in which clocks jump then."""
    found: dict[datetime, dict[tuple[int, int], tuple[str, Jump]]] = defaultdict(dict)
    for zone in clocks():
        for jump in jumps(zone):
            found[jump.at].setdefault((jump.before, jump.after), (zone, jump))
    return {at: list(zones.values()) for at, zones in sorted(found.items())}


def chance(seed: object) -> random.Random:
    return random.Random(str(seed))  # noqa: S311 - the same each time


@dataclass
class World:
    """A pool around one jump.

    Attributes:
        who: the digest of each member.
        served: of each member, the slots that were served and when.
        lost: from when to when no tick comes.
        doubled: how often a second pod came while a first one served.
    """

    database: Database
    now: datetime
    chance: random.Random
    who: dict[str, DigestTime] = field(default_factory=dict)
    served: dict[str, list[tuple[datetime, datetime]]] = field(default_factory=lambda: defaultdict(list))
    lost: list[tuple[datetime, datetime]] = field(default_factory=list)
    doubled: int = 0
    pods: int = 0

    def enrol(self, zones: list[tuple[str, Jump]], times: int | None) -> None:
        people = []
        for zone, _ in zones:
            wanted = sorted(times_of_day(zone))
            for at in wanted if times is None else self.chance.sample(wanted, min(times, len(wanted))):
                clock = time.fromisoformat(at)
                name = f"user-{len(self.who):05}"
                self.who[name] = DigestTime(ZoneInfo(zone), DigestDay.DAILY, clock, self.now)
                when = Schedule(zone, DigestDay.DAILY, clock, "30m")
                people.append(User(name, "Canary", when, paused=False, availability=AvailabilityParameters()))
        DatabaseUsers(self.database).import_all(people, now=self.now, pools=dict.fromkeys(self.who, POOL))

    def lose_ticks(self, end: datetime) -> None:
        """Decide when no tick comes: once around the jump, at times of any length, and single ones."""
        at = self.now
        while at < end:
            at += timedelta(minutes=self.chance.choice((7, 45, 130, 400)))
            gap = min(LONGEST_GAP, timedelta(minutes=self.chance.choice((1, 2, 20, 65, 180))))
            self.lost.append((at, at + gap))
            # Between two gaps ticks serve what was missed.
            at += gap + 5 * MINUTE

    def comes(self, at: datetime) -> datetime:
        """Return the first minute from `at` on at which a tick comes."""
        at = (at + MINUTE - timedelta(microseconds=1)).replace(second=0, microsecond=0)
        for begin, end in self.lost:
            if begin <= at < end:
                at = end.replace(second=0, microsecond=0)
        return at

    def store(self) -> PoolSlots:
        return PoolSlots(self.database, POOL, DIGEST, "30m", "zones")

    def tick(self, *, is_doubled: bool) -> None:
        self.pods += 1
        process = Process(lambda: self.now, lambda _: None, lambda: 0.5, lambda: False, f"pod-{self.pods}")
        seconds = timedelta(0)

        def serve(member: Member) -> Report:
            nonlocal is_doubled, seconds
            assert member.slot is not None
            if is_doubled:
                is_doubled = False
                before = sum(map(len, self.served.values()))
                self.tick(is_doubled=False)
                self.doubled += sum(map(len, self.served.values())) > before
            self.served[member.user_id].append((member.slot, self.now))
            return report_of(Ending(Outcome.DONE, ExitCode.DONE), DIGEST, self.now, self.now)

        Tick(DIGEST, self.store(), Work(serve, serve), process, self.now + DEADLINE, workers=1)()

    def play(self, end: datetime) -> None:
        self.tick(is_doubled=False)
        while (due := self.store().next_due_at()) is not None:
            self.now = self.comes(max(due, self.now + MINUTE))
            if self.now > end:
                return
            self.tick(is_doubled=self.chance.random() < 0.5)

    def due_dates(self, who: DigestTime, begin: datetime, end: datetime) -> Iterator[tuple[date, datetime]]:
        first = (begin - DAY).astimezone(who.zone).date()
        for number in range((end - begin).days + 3):
            day = first + number * DAY
            due = who.due_on(day)
            if due is not None and begin <= due <= end:
                yield day, due

    def check(self, begin: datetime, end: datetime) -> int:
        """Check each member; return how many due dates there were."""
        number = 0
        for name, who in self.who.items():
            slots = [slot for slot, _ in self.served[name]]
            assert slots == sorted(set(slots)), (who, "a slot was served twice", slots)
            sent: dict[date, datetime] = {}
            for slot, at in self.served[name]:
                occurrence = occurrence_of_slot(slot, who)
                assert occurrence is not None, (who, "nothing was due at this slot", slot)
                assert occurrence.due_at is not None
                assert slot in who.firings_of(occurrence.due_at), (who, "no CronJob would fire there", slot)
                if not occurrence.is_late(at):
                    sent.setdefault(occurrence.due_date, at)
            for day, due in self.due_dates(who, begin, end - LONGEST_GAP - 5 * MINUTE):
                number += 1
                assert day in sent, (who, "no digest for this date", day)
                # The first tick that comes from the due time on.
                assert sent[day] == self.comes(due), (who, day, due, sent[day])
        return number


@pytest.fixture
def database(tmp_path: Path, migrated_template: Callable[[str], str]) -> Iterator[Database]:
    """A SQLite database: other tests play pools on both."""
    path = tmp_path / "catchup.db"
    shutil.copyfile(migrated_template("sqlite"), path)
    opened = Database.open(f"sqlite:///{path}")
    yield opened
    opened.close()


def test_a_pool_serves_each_due_date_around_each_jump_once_though_ticks_are_lost_and_doubled(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that a second pod finds somebody.
    monkeypatch.setattr(tick, "_CLAIMED_AT_ONCE", 2)
    all_windows = windows()
    chosen = list(all_windows) if EVERYTHING else chance(17).sample(list(all_windows), 3)
    number = doubled = lost = 0
    for at in chosen:
        begin, end = at - timedelta(hours=30), at + timedelta(hours=40)
        world = World(database, begin, chance(at))
        world.lose_ticks(end)
        world.enrol(all_windows[at], None if EVERYTHING else 6)
        world.play(end)
        number += world.check(begin, end)
        doubled, lost = doubled + world.doubled, lost + len(world.lost)
        with database.write() as connection:
            connection.execute(delete(users))
    # The faults fired.
    assert doubled > 0
    assert lost > len(chosen)
    assert number > 10 * len(chosen)
