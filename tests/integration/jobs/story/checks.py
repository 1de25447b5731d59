"""What holds whatever happened."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from integration.jobs.story.world import MAIL_SENDER
from sqlalchemy import or_, select

from catchup_contract.api import DEFAULT_SYNC_EVERY, SYNC_INTERVALS_MINUTES
from catchup_contract.cadence import Cadence
from catchup_contract.kinds import SYNC
from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_jobs.adapters.database.schema import (
    calendars,
    dead_letters,
    deliveries,
    digests,
    events,
    pool_members,
    pool_slots,
    runs,
    suggestions,
)
from catchup_jobs.adapters.messaging.email_message import message_id
from catchup_jobs.domain.digest.channels import SMS
from catchup_jobs.domain.stored_enums import DeliveryStatus, RunState, SuggestionStatus, Trigger

if TYPE_CHECKING:
    from integration.jobs.story.world import Task, World

_CODE: Final = re.compile(r"#([2-9A-Z]{6})")
_NOT_OUT: Final = {DeliveryStatus.PENDING, DeliveryStatus.SKIPPED}
# A due date is at most so far from the instant of its message, in whatever zone the user was.
_FAR: Final = timedelta(days=2)
# After so much time no pod lives that was told otherwise: the list's way to it, and its deadline.
_TOLD: Final = timedelta(minutes=30)


def check(world: World) -> None:
    """Check what holds at any moment at which no Job runs."""
    world.steadily(lambda: _messages(world))
    world.steadily(lambda: _no_clash_with_what_is_stored(world))
    world.steadily(lambda: _nothing_of_a_suspension(world))
    for task in world.tasks:
        for code, summary in task.pods:
            assert code != ExitCode.MISCONFIGURED, f"{task.key}: nothing was misconfigured"
            assert code != 1, f"{task.key}: crashed"
            if code == ExitCode.DONE:
                assert summary is not None, f"{task.key}: ended without a word"
                well = summary.outcome is Outcome.DONE or (summary.outcome is Outcome.SKIPPED and summary.reason)
                assert well, f"{task.key}: a pod exited 0, so done or skipped with a reason was expected: {summary}"


def _rows(world: World, statement: Any) -> list[Any]:
    with world.database.read() as connection:
        return list(connection.execute(statement))


def _messages(world: World) -> None:
    """One message per user, channel and due date (SMS never two, emails under one Message-ID), and a true record."""
    statement = select(deliveries, digests.c.user_id, digests.c.due_date).join(digests)
    rows = _rows(world, statement)
    people = {person.id: person for person in world.people}
    sms: dict[str, list[Any]] = defaultdict(list)
    for message in world.twilio.messages():
        code = _CODE.search(message["body"])
        assert code, f"an SMS without a code: {message}"
        sms[code[1]].append(message)
    mails: dict[str, list[Any]] = defaultdict(list)
    for mail in world.mail.messages():
        mails[dict(mail["headers"])["Message-ID"]].append(mail)
    for row in rows:
        date = f"{row.user_id} {row.due_date}"
        if row.channel is SMS:
            found = sms.pop(row.short_code, [])
            assert len(found) <= 1, f"{date}: {len(found)} SMS"
            assert all(each["to"] == people[row.user_id].phone for each in found), f"{date}: to somebody else: {found}"
        else:
            found = mails.pop(message_id(date, MAIL_SENDER.partition("@")[2]), [])
            assert len(found) <= row.attempts, f"{date}: {len(found)} emails, {row.attempts} were tried"
            to = [each["recipients"] for each in found]
            assert all(each == [people[row.user_id].address] for each in to), f"{date}: somebody else's email: {to}"
        known = f"{date}: {row.channel} is {row.status}, and the provider has {len(found)}"
        assert not (row.status is DeliveryStatus.SENT and not found), known
        assert not (row.status in _NOT_OUT and found), known
        if row.attempted_at is not None:
            assert abs(row.attempted_at.date() - row.due_date) <= _FAR, f"{date}: sent at {row.attempted_at}"
    assert not sms, f"SMS that no digest knows: {dict(sms)}"
    assert not mails, f"emails that no digest knows: {list(mails)}"


def _no_clash_with_what_is_stored(world: World) -> None:
    now = world.clock.now()
    proposed = _rows(
        world,
        select(suggestions).where(suggestions.c.status == SuggestionStatus.PENDING, suggestions.c.start_at > now),
    )
    busy = _rows(
        world,
        select(events, calendars.c.user_id).join(calendars).where(calendars.c.selected, events.c.busy),
    )
    for one in proposed:
        for event in busy:
            if event.user_id == one.user_id and event.start_at < one.end_at and one.start_at < event.end_at:
                own = one.trigger is Trigger.SHARED_ACTIVITY and event.google_id == one.source_event_id
                assert own, f"suggestion {one.id} of {one.user_id} at {one.start_at} is on the event {event.google_id}"
    for user_id, times in Counter(
        (one.user_id, one.contact_id) for one in _rows(world, select(suggestions).where(_is_open()))
    ).items():
        assert times == 1, f"two open suggestions for a contact: {user_id}"


def _nothing_of_a_suspension(world: World) -> None:
    """No digest was tried that fell due while its user, or the pool that served the user, was suspended."""
    tried = select(digests.c.user_id, digests.c.due_at).join(deliveries).where(deliveries.c.attempted_at.is_not(None))
    pauses = {person.id: person.pauses + person.pool_pauses for person in world.people}
    for row in _rows(world, tried.where(digests.c.due_at.is_not(None))):
        for begin, end in pauses[row.user_id]:
            is_in = begin + _TOLD < row.due_at < end
            assert not is_in, f"{row.user_id}: the digest of {row.due_at} was tried, suspended from {begin} to {end}"


def _is_open() -> Any:
    return or_(
        suggestions.c.status == SuggestionStatus.PENDING,
        suggestions.c.status == SuggestionStatus.SNOOZED,
    )


def check_no_clash_with_the_calendars(world: World) -> None:
    """Check, when all was quiet and synced, that no suggestion is on a busy hour, by what Google says."""
    now = world.clock.now()
    people = {person.id: person for person in world.people}
    proposed = _rows(
        world,
        select(suggestions).where(suggestions.c.status == SuggestionStatus.PENDING, suggestions.c.start_at > now),
    )
    for one in proposed:
        person = people[one.user_id]
        if one.trigger is Trigger.SHARED_ACTIVITY:
            source = person.busy.get(one.source_event_id)
            own = f"suggestion {one.id} is at {one.start_at}, its event at Google {source}"
            assert source is not None, own
            assert source[:2] == (one.start_at, one.end_at), own
        else:
            assert person.keeps(one.start_at, one.end_at), f"{one.user_id}: suggestion {one.id} at {one.start_at}"
    stored = _rows(world, select(events, calendars.c.user_id).join(calendars))
    for person in world.people:
        found = {row.google_id: (row.start_at, row.end_at, row.summary) for row in stored if row.user_id == person.id}
        for event, span in person.busy.items():
            if span[1] > now:
                stored_span = found.pop(event, None)
                assert stored_span == span, f"{person.id}: the event {event} is {stored_span}, at Google {span}"
        assert all(row[1] <= now for row in found.values()), f"{person.id}: events that are gone: {found}"


def check_no_run_vanished(world: World) -> None:
    """Check, when every lease is over and swept, that each run ended well or is in the dead letters."""
    letters = {row.run_key for row in _rows(world, select(dead_letters.c.run_key))}
    by_key: dict[str, list[Task]] = defaultdict(list)
    for task in world.tasks:
        if task.is_tick:
            continue
        by_key[task.key].append(task)
    for key, tasks in by_key.items():
        ended = any(task.complete or task.settled for task in tasks)
        opened = any(task.opened for task in tasks)
        # A run that no pod could open is told by Kubernetes alone: the Job failed, and its pods said why.
        pods = [task.pods for task in tasks]
        # One that was put back is answered by a later slot that ended well.
        ended = ended or any(_answers(later, tasks[0]) for later in world.tasks) or _is_ended_elsewhere(world, tasks[0])
        assert ended or key in letters or not opened, f"{key} vanished: not ended, no dead letter, its pods: {pods}"
        if not ended and not opened:
            summaries = [summary for task in tasks for _, summary in task.pods if summary]
            told = [each.reason for each in summaries]
            assert set(told) <= {Reason.UNAVAILABLE, Reason.TERMINATED}, f"{key} was never opened, its pods said {told}"


def _answers(later: Task, earlier: Task) -> bool:
    if later.slot is None or earlier.slot is None or later.slot <= earlier.slot:
        return False
    is_put_back = any(code == ExitCode.TEMPORARY for code, _ in earlier.pods)
    return is_put_back and later.settled and (later.kind, later.subject) == (earlier.kind, earlier.subject)


def _is_ended_elsewhere(world: World, task: Task) -> bool:
    """Whether the pool ended the slot of a user who moved, or a later one."""
    ended = world.ended.get((task.kind, task.subject), set())
    return task.is_deleted and task.slot is not None and any(slot >= task.slot for slot in ended)


def check_slots(world: World) -> None:
    """Check that whoever served a sync meant a slot of the user's own: in all placements the same."""
    for person in world.people:
        cadence = Cadence.of_user(SYNC.name, SYNC_INTERVALS_MINUTES[DEFAULT_SYNC_EVERY], person.id)
        for slot in world.ended.get((SYNC, person.id), set()):
            assert cadence.latest(slot) == slot, f"{person.id} has no slot at {slot}"


def check_the_pool_has_its_members_alone(world: World) -> None:
    """Check, when all was quiet, that the pool serves those whose UserSchedule names it, and nobody is on the way."""
    rows = _rows(world, select(pool_members.c.user_id, pool_members.c.leaving))
    assert {row.user_id for row in rows} == {person.id for person in world.people if person.pooled}
    assert not any(row.leaving for row in rows), rows
    held = _rows(world, select(pool_slots.c.user_id, pool_slots.c.owner, pool_slots.c.unfinished, pool_slots.c.deaths))
    assert all((row.owner, row.unfinished, row.deaths) == (None, None, 0) for row in held), held


def check_no_claim_is_left(world: World) -> None:
    """Check, when each user got another digest, that no message is `sending`: that one looked after it."""
    asked = _rows(world, select(deliveries.c.id).where(deliveries.c.status == DeliveryStatus.SENDING))
    assert not asked, f"no message was to be left `sending`: deliveries {asked}"


def check_nothing_is_left_locked(world: World) -> None:
    """Check, when every lease is over and swept, that nothing is held by a process that is gone."""
    locks = world.locks()
    assert not locks, f"no lock was to be left in Redis: {locks}"
    held = _rows(
        world,
        select(runs.c.run_key, runs.c.state, runs.c.owner, runs.c.lease_until).where(
            or_(
                runs.c.state.in_((RunState.OPEN, RunState.RETRY)),
                runs.c.owner.is_not(None),
                runs.c.lease_until.is_not(None),
            )
        ),
    )
    assert not held, f"no run was to be left open, owned or leased: {held}"
    if world.backend == "postgresql":
        # Clients only: the server's own workers (autovacuum) have transactions too.
        idle = (
            "SELECT pid, application_name, state, query FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND xact_start IS NOT NULL"
        )
        with world.database.read() as connection:
            left = list(connection.exec_driver_sql(idle))
        assert not left, f"no transaction was to be left open: {left}"
