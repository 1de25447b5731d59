"""Who to catch up with, and when: what becomes of a user's suggestions, and which are new.

Existing ones come first: what passed or lost its ground expires, what clashes moves or expires, what was snoozed
returns. Then come events that a contact would like, then contacts that are overdue. Planning the outcome again
changes nothing.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from catchup_jobs.domain.calendar.availability import blocked_hours, free_slots, overlaps
from catchup_jobs.domain.planning import reasons
from catchup_jobs.domain.planning.diary import DURATIONS, LEAD, Diary
from catchup_jobs.domain.planning.overdue import REST_UNANSWERED, is_overdue, is_resting, preference, rank
from catchup_jobs.domain.planning.shared_activity import Match, matches
from catchup_jobs.domain.planning.suggestions import HORIZON, MAX_OPEN, Created, Expired, Moved, Plan, Retold, Source
from catchup_jobs.domain.vocabulary import ExpiryReason, Frequency, SuggestionStatus, Trigger

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from catchup_jobs.domain.calendar.availability import Interval
    from catchup_jobs.domain.planning.overdue import ContactFacts, Rank
    from catchup_jobs.domain.planning.shared_activity import EventFacts
    from catchup_jobs.domain.planning.suggestions import Suggestion, UserFacts


def plan(facts: UserFacts, *, now: datetime, create: bool = True) -> Plan:
    """Return what to change in a user's suggestions.

    Args:
        facts: as they are stored at `now`.
        now: the present (aware); nothing is proposed less than 2 h or more than 14 days ahead.
        create: whether snoozed ones may return and new ones be made; a sync only repairs what it made clash. A paused
            user gets none in any case, nor one whose calendars are not known well enough.
    """
    planning = _Planning(facts, now)
    planning.drop_what_is_over()
    planning.keep_what_fits()
    planning.move_what_clashes()
    if create and not facts.paused and facts.known_until is not None:
        planning.retell()
        planning.bring_back_snoozed()
        planning.propose_activities()
        planning.propose_overdue()
    return planning.plan


class _Planning:
    """The state of one planning; the methods without a dash are its steps, in their order in `plan`."""

    def __init__(self, facts: UserFacts, now: datetime) -> None:
        self._facts = facts
        self._now = now
        # Where the calendars are not known well enough, nothing can be placed.
        self._until = min(now + HORIZON, facts.known_until or now)
        self._contacts = {contact.id: contact for contact in facts.contacts}
        self._accepted = [one for one in facts.suggestions if one.status is SuggestionStatus.ACCEPTED]
        self._pending: list[Suggestion] = []
        self._snoozed: list[Suggestion] = []
        self._kept: list[Suggestion] = []
        self._clashing: list[Suggestion] = []
        # Contacts with an open suggestion; one each, so that their number is that of open suggestions.
        self._open: set[int] = set()
        # Contacts whose rest begins with this plan.
        self._resting: set[int] = set()
        # Time and starts of suggestions that are accepted or pending.
        self._taken = [one.when for one in self._accepted]
        self.plan = Plan()

    # Existing suggestions ----------------------------------------------------------------------------------------

    def drop_what_is_over(self) -> None:
        for one in sorted(self._facts.suggestions, key=lambda one: (one.when.start, one.id)):
            if one.status is SuggestionStatus.ACCEPTED:
                continue
            self._open.add(one.contact_id)
            reason = self._why_over(one)
            if reason is not None:
                self._expire(one, reason)
            elif one.status is SuggestionStatus.PENDING:
                self._pending.append(one)
            else:
                self._snoozed.append(one)

    def _why_over(self, one: Suggestion) -> ExpiryReason | None:
        if one.status is SuggestionStatus.PENDING and one.when.start <= self._now:
            return ExpiryReason.PASSED
        contact = self._contacts.get(one.contact_id)
        if contact is None:
            return ExpiryReason.CONTACT_EXCLUDED
        if one.trigger is Trigger.TIME_BOUND and contact.frequency is Frequency.NA:
            return ExpiryReason.CONTACT_EXCLUDED
        met = contact.last_contact_at is not None and contact.last_contact_at > one.created_at
        if one.trigger is Trigger.TIME_BOUND and met and not is_overdue(contact, self._now):
            return ExpiryReason.MET
        return None

    def keep_what_fits(self) -> None:
        for one in self._pending:
            if one.trigger is Trigger.SHARED_ACTIVITY:
                self._keep_activity(one)
            elif self._is_free(one.when):
                self._keep(one)
            else:
                self._displace(one, ExpiryReason.CLASH)

    def _keep_activity(self, one: Suggestion) -> None:
        event = self._event_of(one)
        if event is None:
            self._expire(one, ExpiryReason.EVENT_GONE)
        elif event.when != one.when:
            self._displace(one, ExpiryReason.EVENT_MOVED)
        elif self._is_clear(event):
            self._keep(one)
        else:
            self._expire(one, ExpiryReason.CLASH)

    def _keep(self, one: Suggestion) -> None:
        self._kept.append(one)
        self._taken.append(one.when)

    def _displace(self, one: Suggestion, reason: ExpiryReason) -> None:
        """Let a suggestion find another time; one that the user has seen never moves under their eyes."""
        if one.delivered_at is None:
            self._clashing.append(one)
        else:
            self._expire(one, reason)

    def move_what_clashes(self) -> None:
        for one in sorted(self._clashing, key=self._rank):
            if not self._place(one):
                moved = one.trigger is Trigger.SHARED_ACTIVITY
                self._expire(one, ExpiryReason.EVENT_MOVED if moved else ExpiryReason.CLASH)

    def retell(self) -> None:
        """Bring the days in the reasons up to date, until the user has seen them."""
        for one in self._kept:
            if one.delivered_at is None and one.reasoning is not None:
                text = self._reason_for(one)
                if text is not None and text != one.reasoning:
                    self.plan.retold.append(Retold(one, text))

    def bring_back_snoozed(self) -> None:
        due = [one for one in self._snoozed if one.snoozed_until is not None and one.snoozed_until <= self._now]
        for one in sorted(due, key=self._rank):
            # Without room now it is tried again the next time; an event does not wait.
            if not self._place(one) and one.trigger is Trigger.SHARED_ACTIVITY:
                self._expire(one, ExpiryReason.EVENT_GONE if self._event_of(one) is None else ExpiryReason.CLASH)

    def _place(self, one: Suggestion) -> bool:
        """Give a suggestion another time, or its event's; return whether there is one."""
        if one.trigger is Trigger.TIME_BOUND:
            when, title = self._take(one.when.end - one.when.start), None
        else:
            event = self._event_of(one)
            when = event.when if event is not None and self._take_event(event) else None
            title = event.title if event is not None else None
        if when is not None:
            self.plan.moved.append(Moved(one, when, self._reason_for(one), title))
        return when is not None

    def _reason_for(self, one: Suggestion) -> str | None:
        """Return why the suggestion is made as of now, None where its event does not say it any more."""
        contact = self._contacts[one.contact_id]
        if one.trigger is Trigger.TIME_BOUND:
            return reasons.time_bound(contact, self._now)
        event = self._event_of(one)
        found = [] if event is None else matches([event], [contact], user_city=self._facts.city, now=self._now)
        return self._reason(found[0]) if found else None

    def _expire(self, one: Suggestion, reason: ExpiryReason) -> None:
        self.plan.expired.append(Expired(one, reason))
        self._open.discard(one.contact_id)
        unanswered = reason is ExpiryReason.PASSED and one.delivered_at is not None
        if unanswered and self._now < one.when.end + REST_UNANSWERED:
            self._resting.add(one.contact_id)

    def _rank(self, one: Suggestion) -> Rank:
        return rank(self._contacts[one.contact_id], self._now)

    # New suggestions ---------------------------------------------------------------------------------------------

    def propose_activities(self) -> None:
        upcoming = [event for event in self._facts.events if self._may_be_shared(event)]
        if not upcoming:
            return
        candidates = [contact for contact in self._facts.contacts if contact.tags and self._may_propose(contact)]
        used: list[EventFacts] = []
        for match in matches(upcoming, candidates, user_city=self._facts.city, now=self._now):
            if not self._has_room:
                return
            if match.contact.id in self._open or any(match.event.is_copy_of(event) for event in used):
                continue
            if self._take_event(match.event):
                used.append(match.event)
                self._propose(match.contact, match)

    def _may_be_shared(self, event: EventFacts) -> bool:
        if event.all_day or not self._now + LEAD <= event.when.start or not event.when.end <= self._until:
            return False
        return not any(event.is_copy_of(other) for other in self._events_in_use)

    def propose_overdue(self) -> None:
        waiting = [
            contact for contact in self._facts.contacts if is_overdue(contact, self._now) and self._may_propose(contact)
        ]
        for contact in sorted(waiting, key=lambda contact: rank(contact, self._now)):
            if not self._has_room:
                return
            mode = preference(contact.tags)
            slot = self._take(DURATIONS[mode])
            if slot is not None:
                self._open.add(contact.id)
                text = reasons.time_bound(contact, self._now)
                self.plan.created.append(Created(contact.id, Trigger.TIME_BOUND, mode, slot, text))

    def _propose(self, contact: ContactFacts, match: Match) -> None:
        self._open.add(contact.id)
        self.plan.created.append(
            Created(
                contact.id,
                Trigger.SHARED_ACTIVITY,
                match.mode,
                match.event.when,
                self._reason(match),
                match.event,
            )
        )

    def _reason(self, match: Match) -> str:
        return reasons.shared_activity(match.contact, match.event.title, match.tags, nearby=match.nearby, now=self._now)

    def _may_propose(self, contact: ContactFacts) -> bool:
        return contact.id not in self._open and contact.id not in self._resting and not is_resting(contact, self._now)

    @property
    def _has_room(self) -> bool:
        return len(self._open) < MAX_OPEN

    # Time --------------------------------------------------------------------------------------------------------

    @cached_property
    def _reach(self) -> datetime:
        # Pending suggestions may reach further than new ones may; an event may last until the year 9999.
        return max([self._until, *(one.when.end for one in self._pending)])

    @cached_property
    def _free(self) -> list[Interval]:
        busy = [event.when for event in self._facts.events]
        busy += [one.when for one in self._accepted]
        return free_slots(self._facts.parameters, busy, self._facts.zone, now=self._now, until=self._reach)

    @cached_property
    def _diary(self) -> Diary:
        return Diary(
            self._free,
            taken=self._taken,
            starts=[when.start for when in self._taken],
            zone=self._facts.zone,
            now=self._now,
            until=self._until,
        )

    @cached_property
    def _commutes_and_nights(self) -> list[Interval]:
        return blocked_hours(self._facts.parameters, self._facts.zone, start=self._now, end=self._reach)

    @cached_property
    def _events_in_use(self) -> list[EventFacts]:
        """Events that already have a suggestion, or were booked for one."""
        holding = [one for one in self._facts.suggestions if self._is_open_or_accepted(one)]
        sources = {one.source for one in holding if one.source is not None}
        booked = {one.booked_event_id for one in holding if one.booked_event_id is not None}
        return [
            event
            for event in self._facts.events
            if event.event_id in booked or Source(event.calendar_id, event.event_id) in sources
        ]

    def _is_open_or_accepted(self, one: Suggestion) -> bool:
        return one.status is SuggestionStatus.ACCEPTED or one.contact_id in self._open

    def _is_free(self, when: Interval) -> bool:
        inside = any(slot.start <= when.start and when.end <= slot.end for slot in self._free)
        return inside and not overlaps(when, self._taken)

    def _is_clear(self, event: EventFacts) -> bool:
        """Return whether an event's time holds nothing but the event itself and its copies."""
        if overlaps(event.when, self._taken) or overlaps(event.when, self._commutes_and_nights):
            return False
        return not any(
            overlaps(event.when, (other.when,)) and not other.is_copy_of(event) for other in self._facts.events
        )

    def _event_of(self, one: Suggestion) -> EventFacts | None:
        same = (
            event
            for event in self._facts.events
            if not event.all_day and one.source == Source(event.calendar_id, event.event_id)
        )
        return next(same, None)

    def _take(self, duration: timedelta) -> Interval | None:
        slot = self._diary.take(duration)
        if slot is not None:
            self._taken.append(slot)
        return slot

    def _take_event(self, event: EventFacts) -> bool:
        if not (self._diary.allows(event.when) and self._is_clear(event)):
            return False
        self._diary.count(event.when.start)
        self._taken.append(event.when)
        return True
