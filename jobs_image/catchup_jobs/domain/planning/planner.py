"""Who to catch up with, and when: what becomes of a user's suggestions, and which are new.

Existing suggestions come first: what passed or lost its reason expires, what clashes moves or expires, what was snoozed
returns. Then follow events that a contact would like, then contacts that are overdue. Planning again from the outcome
changes nothing.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from catchup_jobs.domain.planning import reasons
from catchup_jobs.domain.planning.agenda import Agenda
from catchup_jobs.domain.planning.diary import DURATIONS
from catchup_jobs.domain.planning.options import DEFAULT_OPTIONS, PlanningOptions
from catchup_jobs.domain.planning.overdue import REST_UNANSWERED, is_overdue, is_resting, rank
from catchup_jobs.domain.planning.suggestions import (
    MAX_OPEN,
    Created,
    Expired,
    Moved,
    Plan,
    Reworded,
    Source,
)
from catchup_jobs.domain.planning.tastes import Match, Tastes
from catchup_jobs.domain.stored_enums import ExpiryReason, Frequency, SuggestionStatus, Trigger

if TYPE_CHECKING:
    from datetime import datetime

    from catchup_jobs.domain.planning.event_facts import EventFacts, Identity
    from catchup_jobs.domain.planning.overdue import ContactFacts, Rank
    from catchup_jobs.domain.planning.suggestions import Suggestion, UserFacts


def plan(facts: UserFacts, *, now: datetime, create: bool = True, options: PlanningOptions = DEFAULT_OPTIONS) -> Plan:
    """Return what to change in a user's suggestions.

    Args:
        facts: as they are stored at `now`.
        now: the present (aware); nothing is proposed less than `LEAD` or more than `HORIZON` ahead.
        create: whether snoozed suggestions may return and new ones be made; a sync only repairs what it made clash.
            Never for a paused user, nor for one whose calendars are not known well enough.
        options: of the installation.
    """
    planning = _Planning(facts, options, now)
    planning.expire_what_is_over()
    planning.keep_what_fits()
    planning.move_what_clashes()
    if create and not facts.paused and facts.known_until is not None:
        planning.reword()
        planning.bring_back_snoozed()
        planning.propose_activities()
        planning.propose_overdue()
    return planning.plan


class _Planning:
    """The state of one planning; the public methods are its steps, in their order in `plan`."""

    def __init__(self, facts: UserFacts, options: PlanningOptions, now: datetime) -> None:
        self._facts = facts
        self._now = now
        self._agenda = Agenda(facts, options, now)
        self._contacts = {contact.id: contact for contact in facts.contacts}
        self._pending: list[Suggestion] = []
        self._snoozed: list[Suggestion] = []
        self._kept: list[Suggestion] = []
        self._clashing: list[Suggestion] = []
        # Contacts with an open suggestion. Each has one, so that their number is that of open suggestions.
        self._open: set[int] = set()
        # Contacts whose rest begins with this plan.
        self._resting: set[int] = set()
        self.plan = Plan()

    # Existing suggestions ----------------------------------------------------------------------------------------

    def expire_what_is_over(self) -> None:
        for suggestion in sorted(self._facts.suggestions, key=lambda other: (other.when.start, other.id)):
            if suggestion.status is SuggestionStatus.ACCEPTED:
                continue
            self._open.add(suggestion.contact_id)
            reason = self._reason_to_expire(suggestion)
            if reason is not None:
                self._expire(suggestion, reason)
            elif suggestion.status is SuggestionStatus.PENDING:
                self._pending.append(suggestion)
            else:
                self._snoozed.append(suggestion)
        self._agenda.cover(self._pending)

    def _reason_to_expire(self, suggestion: Suggestion) -> ExpiryReason | None:
        if suggestion.status is SuggestionStatus.PENDING and suggestion.when.start <= self._now:
            return ExpiryReason.PASSED
        contact = self._contacts.get(suggestion.contact_id)
        if contact is None:
            return ExpiryReason.CONTACT_EXCLUDED
        if suggestion.trigger is Trigger.TIME_BOUND and contact.frequency is Frequency.NA:
            return ExpiryReason.CONTACT_EXCLUDED
        # Also where the contact is older than the suggestion: it may have been logged late.
        met = contact.last_contact_at is not None and not is_overdue(contact, self._now)
        if suggestion.trigger is Trigger.TIME_BOUND and met:
            return ExpiryReason.MET
        return None

    def keep_what_fits(self) -> None:
        for suggestion in self._pending:
            if suggestion.trigger is Trigger.SHARED_ACTIVITY:
                self._keep_activity(suggestion)
            elif self._agenda.is_free(suggestion.when):
                self._keep(suggestion)
            else:
                self._displace(suggestion, ExpiryReason.CLASH)

    def _keep_activity(self, suggestion: Suggestion) -> None:
        event = self._agenda.event_of(suggestion)
        if event is None:
            self._expire(suggestion, ExpiryReason.EVENT_GONE)
        elif event.when != suggestion.when:
            self._displace(suggestion, ExpiryReason.EVENT_MOVED)
        elif self._agenda.is_clear(event):
            self._keep(suggestion)
        else:
            self._expire(suggestion, ExpiryReason.CLASH)

    def _keep(self, suggestion: Suggestion) -> None:
        self._kept.append(suggestion)
        self._agenda.keep(suggestion.when)

    def _displace(self, suggestion: Suggestion, reason: ExpiryReason) -> None:
        """Give a suggestion another time later on; one that was delivered expires, since the user has seen its time."""
        if suggestion.delivered_at is None:
            self._clashing.append(suggestion)
        else:
            self._expire(suggestion, reason)

    def move_what_clashes(self) -> None:
        for suggestion in sorted(self._clashing, key=self._rank):
            if not self._place(suggestion):
                moved = suggestion.trigger is Trigger.SHARED_ACTIVITY
                self._expire(suggestion, ExpiryReason.EVENT_MOVED if moved else ExpiryReason.CLASH)

    def reword(self) -> None:
        """Bring the numbers of days in the reasons up to date, until the user has seen them."""
        for suggestion in self._kept:
            if suggestion.delivered_at is None and suggestion.reasoning is not None:
                text = self._reason_for(suggestion)
                if text is not None and text != suggestion.reasoning:
                    self.plan.reworded.append(Reworded(suggestion, text))

    def bring_back_snoozed(self) -> None:
        due = [
            suggestion
            for suggestion in self._snoozed
            if suggestion.snoozed_until is not None and suggestion.snoozed_until <= self._now
        ]
        for suggestion in sorted(due, key=self._rank):
            # Without room now, the next plan tries again. A shared activity expires: its event does not wait.
            if not self._place(suggestion) and suggestion.trigger is Trigger.SHARED_ACTIVITY:
                gone = self._agenda.event_of(suggestion) is None
                self._expire(suggestion, ExpiryReason.EVENT_GONE if gone else ExpiryReason.CLASH)

    def _place(self, suggestion: Suggestion) -> bool:
        """Give a suggestion another time, or its event's time; return whether there is one."""
        if suggestion.trigger is Trigger.TIME_BOUND:
            contact = self._contacts[suggestion.contact_id]
            when, title = self._agenda.take(suggestion.when.end - suggestion.when.start, contact), None
        else:
            event = self._agenda.event_of(suggestion)
            when = event.when if event is not None and self._agenda.take_event(event) else None
            title = event.title if event is not None else None
        if when is not None:
            self.plan.moved.append(Moved(suggestion, when, self._reason_for(suggestion), title))
        return when is not None

    def _reason_for(self, suggestion: Suggestion) -> str | None:
        """Return the reason for a suggestion as of now, None where its event no longer gives one."""
        contact = self._contacts[suggestion.contact_id]
        if suggestion.trigger is Trigger.TIME_BOUND:
            return reasons.time_bound(contact, self._now)
        event = self._agenda.event_of(suggestion)
        liked = None if event is None else next(self._tastes([contact]).matches([event]), None)
        return None if liked is None else self._reason(liked)

    def _expire(self, suggestion: Suggestion, reason: ExpiryReason) -> None:
        self.plan.expired.append(Expired(suggestion, reason))
        self._open.discard(suggestion.contact_id)
        unanswered = reason is ExpiryReason.PASSED and suggestion.delivered_at is not None
        if unanswered and self._now < suggestion.when.end + REST_UNANSWERED:
            self._resting.add(suggestion.contact_id)

    def _rank(self, suggestion: Suggestion) -> Rank:
        return rank(self._contacts[suggestion.contact_id], self._now)

    # New suggestions ---------------------------------------------------------------------------------------------

    def propose_activities(self) -> None:
        upcoming = [event for event in self._facts.events if self._may_be_shared(event)]
        candidates = [contact for contact in self._facts.contacts if contact.tags and self._may_propose(contact)]
        used: set[Identity] = set()
        # Both sets grow with the suggestions that are made.
        tastes = self._tastes(candidates)
        for match in tastes.matches(upcoming, without=self._open, used=used, can_take=self._agenda.can_take):
            if not self._has_room:
                return
            # Also where its time is taken by now: it stays so.
            used.add(match.event.identity)
            if self._agenda.take_event(match.event):
                created = Created(
                    match.contact.id,
                    Trigger.SHARED_ACTIVITY,
                    match.mode,
                    match.event.when,
                    self._reason(match),
                    match.event,
                )
                self._propose(created)

    def _may_be_shared(self, event: EventFacts) -> bool:
        return self._agenda.is_placeable(event) and event.identity not in self._events_in_use

    def _tastes(self, contacts: list[ContactFacts]) -> Tastes:
        return Tastes(contacts, user_city=self._facts.city, clocks=self._agenda.clocks, now=self._now)

    def propose_overdue(self) -> None:
        waiting = [
            contact for contact in self._facts.contacts if is_overdue(contact, self._now) and self._may_propose(contact)
        ]
        for contact in sorted(waiting, key=lambda contact: rank(contact, self._now)):
            if not self._has_room:
                return
            mode = self._agenda.clocks.mode(contact)
            when = self._agenda.take(DURATIONS[mode], contact)
            if when is not None:
                text = reasons.time_bound(contact, self._now)
                self._propose(Created(contact.id, Trigger.TIME_BOUND, mode, when, text))

    def _propose(self, created: Created) -> None:
        self._open.add(created.contact_id)
        self.plan.created.append(created)

    def _reason(self, match: Match) -> str:
        return reasons.shared_activity(match.contact, match.event.title, match.tags, nearby=match.nearby, now=self._now)

    def _may_propose(self, contact: ContactFacts) -> bool:
        return contact.id not in self._open and contact.id not in self._resting and not is_resting(contact, self._now)

    @property
    def _has_room(self) -> bool:
        return len(self._open) < MAX_OPEN

    @cached_property
    def _events_in_use(self) -> set[Identity]:
        """Events that already have a suggestion, or were booked for one."""
        holding = [
            suggestion
            for suggestion in self._facts.suggestions
            if suggestion.status is SuggestionStatus.ACCEPTED or suggestion.contact_id in self._open
        ]
        sources = {suggestion.source for suggestion in holding if suggestion.source is not None}
        booked = {suggestion.booked_event_id for suggestion in holding if suggestion.booked_event_id is not None}
        if not sources and not booked:
            return set()
        return {
            event.identity
            for event in self._facts.events
            if event.event_id in booked or Source(event.calendar_id, event.event_id) in sources
        }
