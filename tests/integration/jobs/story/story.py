"""A story: rounds of Jobs, edits and faults by a seed, and a quiet end in which everybody must be well again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from time import sleep
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import pytest
from integration.jobs.story import checks, edits
from integration.jobs.story.faults import FAULTS, hand
from integration.jobs.story.person import Person
from integration.jobs.story.placements import CLAIM, POOL
from integration.jobs.story.world import floor, says
from sqlalchemy import func, select

from catchup_contract.digest_rule import LATEST, DigestDay, DigestTime
from catchup_contract.kinds import DIGEST, SUGGESTIONS, SYNC, Kind, user_kinds
from catchup_contract.outcomes import Outcome
from catchup_contract.pools import Members
from catchup_contract.run_keys import run_key
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.schema import digests
from catchup_jobs.domain.stored_enums import RunState

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.jobs.story.world import Task, World

HAND: Final = 8
_AT_ONCE: Final = 3
_LEAST_ROUNDS: Final = 4
_MOST_ROUNDS: Final = 40
# Rounds in which the jump comes; the first one's schedule stays until it is over.
_JUMP: Final = range(3)
_PEOPLE: Final = 3
# Ticks of a quiet pool that may pass until everybody is served, where the machine is busy.
_TICKS: Final = 6


@dataclass(frozen=True)
class Jump:
    """A date on which a zone's clock jumps, and a time that it skips or shows twice."""

    zone: str
    date: date
    at: str


JUMPS: Final = (
    Jump("Europe/Berlin", date(2027, 3, 28), "02:30"),
    Jump("Europe/Berlin", date(2026, 10, 25), "02:30"),
    Jump("America/New_York", date(2027, 3, 14), "02:15"),
    Jump("America/New_York", date(2026, 11, 1), "01:30"),
    Jump("Asia/Beirut", date(2027, 3, 28), "00:15"),
    Jump("Australia/Lord_Howe", date(2026, 10, 4), "02:15"),
    Jump("Australia/Lord_Howe", date(2027, 4, 4), "01:45"),
    Jump("Pacific/Chatham", date(2027, 4, 4), "03:00"),
)


def beginning(seed: int) -> tuple[Jump, datetime]:
    """Return the jump that a story lives through, and when it begins (UTC): a day or two before."""
    dice = random.Random(f"beginning {seed}")  # noqa: S311 - to be played again
    jump = JUMPS[seed % len(JUMPS)]
    midnight = datetime.combine(jump.date, datetime.min.time(), ZoneInfo(jump.zone)).astimezone(UTC)
    return jump, floor(midnight - timedelta(hours=dice.randint(14, 44)), minutes=1)


def cast(seed: int) -> list[Person]:
    """Return the users; the first one's digest is at the time of the jump.

    Of four seeds, one has no pool, two have both placements with users who move between them, and one has a pool alone.
    In a pool of the database all are enrolled from the beginning; that of those who have a UserSchedule waits.
    """
    dice = random.Random(f"cast {seed}")  # noqa: S311 - to be played again
    jump, begin = beginning(seed)
    people = []
    for number in range(_PEOPLE):
        zone, at = dice.choice(edits.ZONES), f"{dice.randrange(24):02}:{dice.choice((0, 30)):02}"
        if number == 0:
            zone, at = jump.zone, jump.at
        person = Person(("ada", "bob", "cleo")[number], number + 1, zone, at, since=begin, fired=begin)
        person.pooled = seed % 4 == 3 or (_moves(seed) and number != seed % 4)
        person.joined = begin if person.pooled else None
        person.enrolled = begin if members_of(seed) is Members.DATABASE else None
        person.consent_at, person.email = begin, dice.choice(["on", "fallback"])
        for _ in range(6):
            person.know(begin, dice)
        people.append(person)
    return people


def _moves(seed: int) -> bool:
    return seed % 4 in {1, 2}


def members_of(seed: int) -> Members:
    """Return where the members of a seed's pool are: of eight seeds, those of two or three are in the database."""
    is_database = seed % 8 in {2, 5, 7}
    return Members.DATABASE if is_database else Members.USER_SCHEDULES


class Story:
    """Plays a seed in a world."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.seed = world, seed
        self.has_pool = seed % 4 != 0
        world.placements.members = members_of(seed)
        self.hand = hand(seed, HAND)
        self.ticked = datetime.min.replace(tzinfo=UTC)
        # What the pool had to end when a user left it, as user, kind and slot.
        self.owed: list[tuple[Person, Kind, datetime]] = []
        self.fired: list[str] = []

    def play(self) -> None:
        """Play it all; an AssertionError says what did not hold."""
        self._begin()
        number = 0
        while self.hand or number < _LEAST_ROUNDS:
            if number == _MOST_ROUNDS:
                pytest.fail(f"faults that hit nothing in {number} rounds: {self.hand}")
            self._round(number)
            number += 1
        self._quiet_end()

    def _dice(self, *what: object) -> random.Random:
        return random.Random(f"{self.seed} {what}")  # noqa: S311 - to be played again

    def _begin(self) -> None:
        world, dice = self.world, self._dice("begin")
        world.clock.turn(beginning(self.seed)[1])
        world.tell(f"seed {self.seed} on {world.backend}: {', '.join(self.hand)}")
        for person in world.people:
            world.google.control.add_user(person.address, person.zone)
            world.save(person, {person.id: POOL} if person.enrolled is not None else None)
            world.connect(person)
        for _ in range(12):
            edits.change_calendar(world, dice)

    # Rounds ------------------------------------------------------------------------------------------------------

    def _round(self, number: int) -> None:
        world, dice = self.world, self._dice("round", number)
        moves = _moves(self.seed) and dice.random() < 0.6
        leading = self._live_on(number, dice, moves=moves)
        world.tell(f"round {number}, after {leading.id}")
        tasks = [*self._digests(), *self._syncs(), self._suggestions(dice), *self._ticks(dice)]
        played = self.hand[:_AT_ONCE]
        self.hand = self.hand[_AT_ONCE:]
        missed: list[str] = []
        edit = edits.change_calendar if number in _JUMP else dice.choice([edits.edit, edits.change_calendar])
        meanwhile = partial(self._move_somebody, leading) if moves else partial(edit, world)
        world.run_all(
            tasks,
            dice,
            *(partial(self._play, name, number, missed) for name in played),
            partial(meanwhile, self._dice("meanwhile", number)),
        )
        self.hand += missed
        world.clear_faults()
        world.look_into_the_book()
        is_paused = world.placements.is_off(world.clock.now())
        if is_paused and world.placements.until is not None:
            world.go_to(world.placements.until + timedelta(minutes=1))
        if moves or is_paused or (self.has_pool and number % 2):
            self._pool_serves_everybody(dice)
        checks.check(world)

    def _move_somebody(self, leading: Person, dice: random.Random) -> None:
        """Let a user move, at the minute of the slot of the `leading` one or within the runs of this round."""
        sleep(dice.choice([0, dice.random() * 0.8]))
        self._move(dice.choice([leading, *self.world.people]))

    def _move(self, person: Person) -> None:
        world, now = self.world, self.world.clock.now()
        # The pool leaves what is due for longer, since it did not tick.
        if person.enrolled is not None and any(end > now - LATEST for _, end in person.pauses):
            return  # with the UserSchedule it is forgotten that it was suspended
        if person.pooled and not person.is_off(now) and now - self.ticked < LATEST:
            self.owed += [(person, kind, slot) for kind in user_kinds() if (slot := self._missed(person, kind, now))]
        world.move(person)

    def _pool_serves_everybody(self, dice: random.Random) -> None:
        """Check that ticks serve all members once claims of pods that died are over, and what users left behind."""
        world = self.world
        for _ in range(_TICKS):
            world.go_to(world.clock.now() + CLAIM + timedelta(minutes=1))
            now = world.clock.now()
            self._tick(dice)
            due = [
                (person, kind, slot)
                for person in world.people
                if person.pooled and not person.is_off(now)
                for kind in user_kinds()
                if (slot := self._missed(person, kind, now))
            ]
            lost = [
                f"{kind}:{person.id}:{slot}"
                for person, kind, slot in due + self.owed
                if not self._ended(person, kind, slot)
            ]
            if not lost:
                break
        assert not lost, f"the pool was to serve these slots: {lost}"
        self.owed.clear()
        checks.check_slots(world)

    def _tick(self, dice: random.Random) -> None:
        world, now = self.world, self.world.clock.now()
        ticks = [tick for kind in user_kinds() for tick in world.ticks(kind)]
        # SQLite has one writer, and a minute is a second: shards would wait for each other for too long.
        for some in [ticks] if world.backend == "postgresql" else [[tick] for tick in ticks]:
            world.run_all(some, dice)
        if all(tick.complete for tick in ticks):
            self.ticked = now
        world.look_into_the_book()

    def _live_on(self, number: int, dice: random.Random, *, moves: bool) -> Person:
        """Let users do things, and turn the clock to a slot of somebody's digest, or a little later; return whose.

        Where somebody `moves` then, the pool ticks shortly before, so that the slot is its to end.
        """
        world = self.world
        leading = world.people[0] if number in _JUMP else dice.choice(world.people)
        for person in world.people:
            if not person.connected and dice.random() < 0.7:
                world.connect(person)
                world.tell(f"{person.id} connects again")
        if number not in _JUMP:
            for _ in range(dice.randint(1, 2)):
                edits.edit(world, dice)
            edits.want_digests(world, leading)
        for person in world.people:
            person.know(world.clock.now(), dice)
            world.save(person)
        for _ in range(dice.randint(1, 3)):
            edits.change_calendar(world, dice)
        world.placements.tell(world.people, world.clock.now())
        late = timedelta(minutes=dice.choice([0, 0, 0, 3, 40, 110]))
        instant = leading.due_after(world.clock.now()) + timedelta(hours=dice.choice([0, 0, 0, 1, 3])) + late
        if moves:
            world.go_to(instant - timedelta(minutes=20))
            self._tick(dice)
        elif self.has_pool and number not in _JUMP and dice.random() < 0.5:
            self._suspend_the_pool(floor(instant, minutes=1) + timedelta(minutes=dice.choice([-30, 20, 300])))
        world.go_to(instant)
        return leading

    def _suspend_the_pool(self, until: datetime) -> None:
        """Suspend the pool from now on, if that is before the end."""
        world, now = self.world, self.world.clock.now()
        if until > now:
            world.tell(f"the pool is suspended until {until:%m-%d %H:%M} UTC")
            world.placements.until = until
            for person in world.people:
                if person.pooled:
                    person.pool_pauses.append((now, until))

    def _play(self, name: str, number: int, missed: list[str]) -> None:
        fault, _ = FAULTS[name]
        self.world.tell(f"  {name} ...")
        if fault(self.world, self._dice(number, name)):
            self.world.tell(f"  {name}: it hit")
            self.fired.append(name)
        else:
            missed.append(name)

    def _ended(self, person: Person, kind: Kind, slot: datetime) -> bool:
        """Whether the run of a slot or of a later one has ended; of a digest that the user moved since, none must."""
        ended = self.world.ended.get((kind, person.id), set())
        is_off = person.is_off(self.world.clock.now())
        return any(other >= slot for other in ended) or is_off or slot < person.edited

    def _missed(self, person: Person, kind: Kind, now: datetime) -> datetime | None:
        """Return the slot that a pool serves now, None where there is none, or the user's last edit was after it."""
        resumed = self.world.placements.resumed(now) if kind is DIGEST and person.pooled else None
        slot = person.slots(kind, resumed=resumed).missed(now)
        return slot if slot is not None and slot >= person.edited else None

    def _digests(self) -> list[Task]:
        """Return what the CronJob controller starts now: the latest slot that was missed, not more than 2 h ago."""
        now, found = self.world.clock.now(), []
        for person in self.world.people:
            slot = None if person.pooled else person.firing(now)
            if slot is not None:
                person.fired = slot
                if now - slot <= timedelta(hours=2):
                    found.append(self.world.task(DIGEST, person, slot))
        return found

    def _syncs(self) -> list[Task]:
        found = []
        for person in self.world.people:
            now = self.world.clock.now()
            slot = None if person.is_off(now) else person.slots(SYNC).latest(now)
            if not person.pooled and slot is not None and slot > person.made:
                found.append(self.world.task(SYNC, person, slot))
        return found

    def _ticks(self, dice: random.Random) -> list[Task]:
        """Return ticks, also two of one kind at once, of which the second has another number of shards."""
        if not self.has_pool:
            return []
        world, found = self.world, []
        for kind in user_kinds():
            found += world.ticks(kind)
            if dice.random() < 0.5:
                world.placements.shards[kind] = dice.choice([1, 2, 3] if world.backend == "postgresql" else [1, 2])
                world.tell(f"{kind}: from {found[-1].shard[1]} to {world.placements.shards[kind]} shards")
                found += world.ticks(kind)
        return found

    def _suggestions(self, dice: random.Random) -> Task:
        by_hand = dice.random() < 0.3
        return self.world.task(SUGGESTIONS, slot=None if by_hand else floor(self.world.clock.now(), hours=1))

    # The end -----------------------------------------------------------------------------------------------------

    def _quiet_end(self) -> None:
        world, dice = self.world, self._dice("end")
        self._all_is_well()
        # Every lease is over by then, and whatever starts first sweeps them.
        world.go_to(world.clock.now() + timedelta(hours=5))
        if self.has_pool:
            self._pool_serves_everybody(dice)
        self._sync_and_suggest(world.people, dice)
        checks.check_no_run_vanished(world)
        self._replay_what_was_given_up()
        checks.check_nothing_is_left_locked(world)
        for person in world.people:
            due = self._next_digest(person)
            world.go_to(due - timedelta(minutes=20))
            # Not seen for longer than anybody, and not known before: what was planned for them may have begun by now.
            fresh = person.know(world.clock.now(), dice, days=4000)
            world.save(person)
            self._sync_and_suggest([person], dice)
            world.go_to(due)
            self._gets_one_message(person, fresh, dice)
        if self.has_pool:
            self._pool_serves_everybody(dice)
            checks.check_the_pool_has_its_members_alone(world)
        checks.check(world)
        checks.check_nothing_is_left_locked(world)
        checks.check_no_claim_is_left(world)
        unplayed = set(hand(self.seed, HAND)) - set(self.fired)
        assert not unplayed, f"faults that were not played: {unplayed}"
        self._lived_through_the_jump()

    def _all_is_well(self) -> None:
        """Mend what users can mend."""
        world = self.world
        world.tell("all is well from here on")
        for person in world.people:
            person.resume(world.clock.now())
            person.sms, person.email, person.day, person.paused = "on", "on", "Daily", False
            person.since = world.clock.now()
            edits.agree_again(world, person)
            world.save(person)
            world.connect(person)

    def _sync_and_suggest(self, people: list[Person], dice: random.Random) -> None:
        world = self.world
        # By hand: the slot may have been served.
        # Of an enrolled user nobody else can ask for one.
        asked = [person for person in people if person.pooled and person.enrolled is None]
        syncs = [world.task(SYNC, person) for person in people if person not in asked]
        at = world.clock.now()
        for person in asked:
            world.placements.requested_at[person.id] = at
        if syncs:
            world.run_all(syncs, dice)
            _all_done(syncs)
        if asked:
            self._tick_until(lambda: all(world.is_synced(person, since=at) for person in asked), SYNC, dice)
        fleet = world.task(SUGGESTIONS)
        world.run_all([fleet], dice)
        _all_done([fleet])
        checks.check(world)
        checks.check_no_clash_with_the_calendars(world)

    def _tick_until(self, holds: Callable[[], bool], kind: Kind, dice: random.Random) -> None:
        """Let the pool tick until something holds; one tick suffices, where the machine is quick enough."""
        world = self.world
        world.run_all(world.ticks(kind), dice)
        for _ in range(_TICKS - 1):
            if holds():
                return
            world.go_to(world.clock.now() + CLAIM + timedelta(minutes=1))
            world.run_all(world.ticks(kind), dice)
        assert holds(), f"ticks of {kind} did not do what was asked"

    def _replay_what_was_given_up(self) -> None:
        for command, *arguments in (("retry", "--all", "--every", "0"), ("list",)):
            pod = self.world.command(["failures", command, *arguments])
            code = pod.exit_code.result(120)
            self.world.tell(f"failures {command} ended {code}")
            assert code == 0, f"`failures {command}` was to end 0, it ended {code}: {pod.log.read_text()}"

    def _next_digest(self, person: Person) -> datetime:
        """Return when the first digest is due on a date that had none: one moved within a date is not sent again."""
        due = self.world.clock.now() + timedelta(minutes=20)
        dates = select(func.max(digests.c.due_date)).where(digests.c.user_id == person.id)
        with self.world.database.read() as connection:
            latest = connection.execute(dates).scalar_one()
        while True:
            due = person.due_after(due)
            if latest is None or due.astimezone(ZoneInfo(person.zone)).date() > latest:
                return due

    def _gets_one_message(self, person: Person, fresh: str, dice: random.Random) -> None:
        world = self.world
        slot = person.firing(world.clock.now())
        assert slot is not None, f"no slot of {person.id} at {world.clock.now()}, the last was {person.fired}"
        person.fired = slot
        sms, mails = len(world.twilio.messages(person.phone)), len(self._mails(person))
        key = run_key(DIGEST, person.id, slot=slot, manual_id="")
        if person.pooled:
            self._tick_until(lambda: world.state_in_the_book(key) is RunState.DONE, DIGEST, dice)
        else:
            digest = world.task(DIGEST, person, slot)
            world.run_all([digest], dice)
            _all_done([digest])
        counts = world.counts_in_the_book(key)
        told = counts.get(Count.SMS_SENT), counts.get(Count.EMAILS_SENT)
        assert told == (1, 1), f"{key}: one SMS and one email were to be counted: {counts}"
        sms, mails = len(world.twilio.messages(person.phone)) - sms, len(self._mails(person)) - mails
        # An email whose answer a busy machine gave too late is sent again: `checks` looks at its Message-ID.
        assert (sms, mails >= 1) == (1, True), f"{key}: one SMS and an email were due: {sms} and {mails} came"
        said = world.twilio.messages(person.phone)[-1]["body"] + self._mails(person)[-1]["text"]
        assert fresh in said, f"{key} was to name {fresh}: {said}"

    def _lived_through_the_jump(self) -> None:
        jump, _ = beginning(self.seed)
        due = DigestTime(ZoneInfo(jump.zone), DigestDay.DAILY, time.fromisoformat(jump.at)).due_on(jump.date)
        assert due is not None
        served = self.world.ended.get((DIGEST, self.world.people[0].id), set())
        lived = any(due <= slot <= due + timedelta(hours=3) for slot in served)
        assert lived, f"a digest was to be served within 3 h of the jump, {due}: {served}"

    def _mails(self, person: Person) -> list[dict[str, Any]]:
        return [mail for mail in self.world.mail.messages() if mail["recipients"] == [person.address]]


def _all_done(tasks: list[Task]) -> None:
    ended = {task.key: task.pods for task in tasks if not says(task, Outcome.DONE)}
    assert not ended, f"all was to be done, without a reason: {ended}"
