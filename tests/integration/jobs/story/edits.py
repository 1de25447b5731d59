"""What users do in a story: schedules, preferences, contacts, answers, and what is in their calendars."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from integration.jobs.story.placements import POOL
from integration.jobs.story.world import floor
from sqlalchemy import select

from catchup_jobs.adapters.database.schema import suggestions
from catchup_jobs.adapters.database.suggestions.answers import DatabaseAnswers
from catchup_jobs.domain.planning.answers import Answer
from catchup_jobs.domain.stored_enums import SuggestionStatus
from catchup_jobs.jobs.run.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from integration.jobs.story.person import Person
    from integration.jobs.story.world import World

ZONES: Final = (
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    # On either side of the date line.
    "Pacific/Auckland",
    "Pacific/Honolulu",
)
_HALF_HOUR: Final = timedelta(minutes=30)


def edit(world: World, dice: random.Random) -> None:
    """Let a user change something."""
    person = dice.choice(world.people)
    change = dice.choice(_EDITS)
    world.tell(f"{person.id} {change(world, person, dice)}")


def want_digests(world: World, person: Person) -> None:
    """Let a user who had enough of digests want them again."""
    person.resume(world.clock.now())
    person.paused = False
    if person.sms != "on" or person.stopped:
        person.sms = "on"
        agree_again(world, person)
    person.email = "on"


def change_calendar(world: World, dice: random.Random) -> None:
    """Let something happen in a user's calendar: often where a suggestion is."""
    person = dice.choice(world.people)
    movable = sorted(person.busy)
    match dice.choice(["add", "add", "move", "delete"]):
        case "delete" if movable:
            event = dice.choice(movable)
            world.delete_event(person, event)
            world.tell(f"{person.id} deletes the event {event}")
        case "move" if movable:
            _place(world, person, dice.choice(movable), dice)
        case _:
            _place(world, person, f"e{world.number()}", dice)


def _place(world: World, person: Person, event: str, dice: random.Random) -> None:
    proposed = _open_suggestions(world, person)
    if proposed and dice.random() < 0.5:
        start = dice.choice(proposed)[1]
    else:
        start = floor(world.clock.now(), hours=1) + dice.randint(1, 400) * _HALF_HOUR
    title = dice.choice(["Dentist", "Climbing", "Meeting"])
    world.put_event(person, event, start, start + dice.randint(1, 4) * _HALF_HOUR, title)
    world.tell(f"{person.id} has {event} ({title}) at {start:%m-%d %H:%M} UTC")


def _open_suggestions(world: World, person: Person) -> list[tuple[int, datetime]]:
    statement = select(suggestions.c.id, suggestions.c.start_at).where(
        suggestions.c.user_id == person.id, suggestions.c.status == SuggestionStatus.PENDING
    )

    def look() -> list[tuple[int, datetime]]:
        with world.database.read() as connection:
            return [(row.id, row.start_at) for row in connection.execute(statement.order_by(suggestions.c.id))]

    return world.steadily(look)


# Each returns what the user did, for the trace.


def _moves_the_digest(world: World, person: Person, dice: random.Random) -> str:
    near = world.clock.now() + timedelta(minutes=dice.randint(-120, 120))
    hour = dice.choice([dice.randrange(24), dice.randrange(8, 20)])
    person.at = f"{near:%H:%M}" if dice.random() < 0.2 else f"{hour:02}:{dice.choice((0, 15, 59)):02}"
    person.day = dice.choice(["Daily", "Daily", "Daily", "Wednesday"])
    world.save(person)
    return f"moves the digest to {person.day} {person.at} in {person.zone}"


def _moves_away(world: World, person: Person, dice: random.Random) -> str:
    person.zone = dice.choice(ZONES)
    world.save(person)
    return f"moves to {person.zone}"


def _suspends_or_resumes(world: World, person: Person, dice: random.Random) -> str:
    now = world.clock.now()
    if person.pooled and person.enrolled is not None:
        # Without a UserSchedule there is nothing to suspend.
        return _enrols_anew(world, person, now)
    if person.is_off(now):
        person.resume(now)
        return "resumes the schedule"
    until = floor(now, minutes=1) + timedelta(minutes=dice.choice([20, 90, 400, 1500])) if dice.random() < 0.6 else None
    person.suspend(now, until)
    return f"suspends the schedule until {until:%m-%d %H:%M} UTC" if until else "suspends the schedule"


def _enrols_anew(world: World, person: Person, now: datetime) -> str:
    world.save(person, {person.id: None})
    world.save(person, {person.id: POOL})
    person.enrolled = person.since = person.edited = now
    return "leaves the pool and is enrolled anew"


def _pauses_or_goes_on(world: World, person: Person, dice: random.Random) -> str:
    person.paused = not person.paused
    world.save(person)
    return "pauses" if person.paused else "goes on"


def _chooses_channels(world: World, person: Person, dice: random.Random) -> str:
    person.sms = dice.choice(["on", "on", "off"])
    person.email = dice.choice(["on", "on", "fallback", "off"])
    if dice.random() < 0.5:
        agree_again(world, person)
    world.save(person)
    return f"wants SMS {person.sms} and email {person.email}, and replied STOP: {person.stopped}"


def agree_again(world: World, person: Person) -> None:
    """Let a user reply START and consent."""
    person.stopped = False
    person.consent_at = world.clock.now()
    world.machine.twilio.store.stopped.discard(person.phone)


def _changes_hours(world: World, person: Person, dice: random.Random) -> str:
    person.blocks = dice.choice([[], [("08:00", "20:00")], [("12:00", "14:00"), ("17:30", "21:30")]])
    world.save(person)
    return f"keeps the hours {person.blocks or 'by default'}"


def _changes_contacts(world: World, person: Person, dice: random.Random) -> str:
    if len(person.contacts) < 4 or dice.random() < 0.4:
        did = f"knows {person.know(world.clock.now(), dice)}"
    elif dice.random() < 0.5:
        did = f"forgets {dice.choice(sorted(person.contacts))}"
        person.contacts.pop(did.split()[1])
    else:
        name = dice.choice(sorted(person.contacts))
        person.contacts[name]["interactions"] = [world.clock.now().isoformat()]
        did = f"has met {name}"
    world.save(person)
    return did


def _answers(world: World, person: Person, dice: random.Random) -> str:
    proposed = _open_suggestions(world, person)
    if not proposed:
        return "has nothing to answer"
    number, answer = dice.choice(proposed)[0], dice.choice(list(Answer))
    answers = DatabaseAnswers(world.database)
    try:
        world.steadily(lambda: answers.answer(number, answer, now=world.clock.now()))
    except PermanentError as refusal:
        return f"cannot {answer} suggestion {number}: {refusal}"
    return f"answers suggestion {number}: {answer}"


_EDITS: Final[tuple[Callable[[World, Person, random.Random], str], ...]] = (
    _moves_the_digest,
    _moves_the_digest,
    _moves_away,
    _suspends_or_resumes,
    _suspends_or_resumes,
    _pauses_or_goes_on,
    _chooses_channels,
    _changes_hours,
    _changes_contacts,
    _answers,
    _answers,
)
