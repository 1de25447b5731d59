"""A story: rounds of Jobs, edits and faults by a seed, and a quiet end in which everybody must be well again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import pytest
from integration.jobs.story import checks, edits
from integration.jobs.story.faults import FAULTS, hand
from integration.jobs.story.person import Person
from integration.jobs.story.world import floor, says
from sqlalchemy import func, select

from catchup_contract.digest_rule import DigestDay, DigestTime
from catchup_contract.kinds import DIGEST, SUGGESTIONS, SYNC
from catchup_contract.outcomes import Outcome
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.schema import digests

if TYPE_CHECKING:
    from integration.jobs.story.world import Task, World

HAND: Final = 8
_AT_ONCE: Final = 3
_LEAST_ROUNDS: Final = 4
_MOST_ROUNDS: Final = 40
# Rounds in which the jump comes; the first one's schedule stays until it is over.
_JUMP: Final = range(3)
_PEOPLE: Final = 3


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
    """Return the users; the first one's digest is at the time of the jump."""
    dice = random.Random(f"cast {seed}")  # noqa: S311 - to be played again
    jump, begin = beginning(seed)
    people = []
    for number in range(_PEOPLE):
        zone, at = dice.choice(edits.ZONES), f"{dice.randrange(24):02}:{dice.choice((0, 30)):02}"
        if number == 0:
            zone, at = jump.zone, jump.at
        person = Person(("ada", "bob", "cleo")[number], number + 1, zone, at, since=begin, fired=begin)
        person.consent_at, person.email = begin, dice.choice(["on", "fallback"])
        for _ in range(6):
            person.know(begin, dice)
        people.append(person)
    return people


class Story:
    """Plays a seed in a world."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.seed = world, seed
        self.hand = hand(seed, HAND)
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
            world.save(person)
            world.connect(person)
        for _ in range(12):
            edits.change_calendar(world, dice)

    # Rounds ------------------------------------------------------------------------------------------------------

    def _round(self, number: int) -> None:
        world, dice = self.world, self._dice("round", number)
        leading = self._live_on(number, dice)
        world.tell(f"round {number}, after {leading.id}")
        tasks = [*self._digests(), *(self._sync(person) for person in world.people), self._suggestions(dice)]
        played = self.hand[:_AT_ONCE]
        self.hand = self.hand[_AT_ONCE:]
        missed: list[str] = []
        meanwhile = edits.change_calendar if number in _JUMP else dice.choice([edits.edit, edits.change_calendar])
        world.run_all(
            tasks,
            dice,
            *(partial(self._play, name, number, missed) for name in played),
            partial(meanwhile, world, self._dice("meanwhile", number)),
        )
        self.hand += missed
        world.clear_faults()
        checks.check(world)

    def _live_on(self, number: int, dice: random.Random) -> Person:
        """Let users do things, and turn the clock to a slot of somebody's digest, or a little later; return whose."""
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
        late = timedelta(minutes=dice.choice([0, 0, 0, 3, 40, 110]))
        world.go_to(leading.due_after(world.clock.now()) + timedelta(hours=dice.choice([0, 0, 0, 1, 3])) + late)
        return leading

    def _play(self, name: str, number: int, missed: list[str]) -> None:
        fault, _ = FAULTS[name]
        self.world.tell(f"  {name} ...")
        if fault(self.world, self._dice(number, name)):
            self.world.tell(f"  {name}: it hit")
            self.fired.append(name)
        else:
            missed.append(name)

    def _digests(self) -> list[Task]:
        """Return what the CronJob controller starts now: the latest slot that was missed, not more than 2 h ago."""
        now, found = self.world.clock.now(), []
        for person in self.world.people:
            slot = person.firing(now)
            if slot is not None:
                person.fired = slot
                if now - slot <= timedelta(hours=2):
                    found.append(self.world.task(DIGEST, person, slot))
        return found

    def _sync(self, person: Person) -> Task:
        return self.world.task(SYNC, person, floor(self.world.clock.now(), minutes=30))

    def _suggestions(self, dice: random.Random) -> Task:
        by_hand = dice.random() < 0.3
        return self.world.task(SUGGESTIONS, slot=None if by_hand else floor(self.world.clock.now(), hours=1))

    # The end -----------------------------------------------------------------------------------------------------

    def _quiet_end(self) -> None:
        world, dice = self.world, self._dice("end")
        self._all_is_well()
        # Every lease is over by then, and whatever starts first sweeps them.
        world.go_to(world.clock.now() + timedelta(hours=5))
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
            person.sms, person.email, person.day, person.paused, person.suspended = "on", "on", "Daily", False, False
            person.since = world.clock.now()
            edits.agree_again(world, person)
            world.save(person)
            world.connect(person)

    def _sync_and_suggest(self, people: list[Person], dice: random.Random) -> None:
        world = self.world
        # By hand: the slot may have been served.
        syncs = [world.task(SYNC, person) for person in people]
        world.run_all(syncs, dice)
        _all_done(syncs)
        fleet = world.task(SUGGESTIONS)
        world.run_all([fleet], dice)
        _all_done([fleet])
        checks.check(world)
        checks.check_no_clash_with_the_calendars(world)

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
        sms, mails = len(world.twilio.messages(person.phone)), self._mails(person)
        digest = world.task(DIGEST, person, slot)
        world.run_all([digest], dice)
        _all_done([digest])
        counts = digest.summary.counts if digest.summary else {}
        told = counts.get(Count.SMS_SENT), counts.get(Count.EMAILS_SENT)
        assert told == (1, 1), f"{digest.key}: one SMS and one email were to be counted: {counts}"
        sms, mails = len(world.twilio.messages(person.phone)) - sms, self._mails(person) - mails
        # An email whose answer a busy machine gave too late is sent again: `checks` looks at its Message-ID.
        assert (sms, mails >= 1) == (1, True), f"{digest.key}: one SMS and an email were due: {sms} and {mails} came"
        said = world.twilio.messages(person.phone)[-1]["body"] + world.mail.messages()[-1]["text"]
        assert fresh in said, f"{digest.key} was to name {fresh}: {said}"

    def _lived_through_the_jump(self) -> None:
        jump, _ = beginning(self.seed)
        due = DigestTime(ZoneInfo(jump.zone), DigestDay.DAILY, time.fromisoformat(jump.at)).due_on(jump.date)
        assert due is not None
        served = [task.slot for task in self.world.tasks if task.kind is DIGEST and task.person is self.world.people[0]]
        lived = any(slot is not None and due <= slot <= due + timedelta(hours=3) for slot in served)
        assert lived, f"a digest was to be served within 3 h of the jump, {due}: {served}"

    def _mails(self, person: Person) -> int:
        return sum(mail["recipients"] == [person.address] for mail in self.world.mail.messages())


def _all_done(tasks: list[Task]) -> None:
    ended = {task.key: task.pods for task in tasks if not says(task, Outcome.DONE)}
    assert not ended, f"all was to be done, without a reason: {ended}"
