"""Keeping a user's stored free slots in step with events, parameters, zone and the passing days."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from catchup_contract.local_time import local_date
from catchup_contract.outcomes import Reason
from catchup_jobs.domain.calendar.availability import free_slots
from catchup_jobs.domain.calendar.freshness import read_until
from catchup_jobs.domain.calendar.sync_window import AVAILABILITY_SPAN
from catchup_jobs.jobs.run.errors import PermanentError

if TYPE_CHECKING:
    from catchup_jobs.jobs.run.context import RunContext
    from catchup_jobs.jobs.sync.ports import AvailabilityInputs, AvailabilityStore

# Raised when the rules of `domain.calendar.availability` change, so that every user's slots are computed anew.
_RULES_VERSION = 2


def refresh_availability(context: RunContext, store: AvailabilityStore) -> int:
    """Compute the free slots of `AVAILABILITY_SPAN` if anything they depend on changed, or a local day began.

    No time is free while a required calendar was never read whole, nor beyond the horizon to which all were read.

    Returns:
        How many free slots are stored then.
    """
    inputs = store.inputs(context.subject)
    if inputs is None:
        raise PermanentError("the user was deleted meanwhile", reason=Reason.UNKNOWN_USER)
    now = context.now()
    fingerprint = _fingerprint(inputs)
    if (
        inputs.computed_at is not None
        and inputs.fingerprint == fingerprint
        and local_date(inputs.computed_at, inputs.zone) == local_date(now, inputs.zone)
    ):
        return inputs.slots
    known = read_until(inputs.calendars)
    until = min(now + AVAILABILITY_SPAN, known) if known is not None and known > now else None
    slots = []
    if until is not None:
        busy = store.busy(context.subject, inputs.zone, start=now, end=until)
        slots = free_slots(inputs.parameters, busy, inputs.zone, now=now, until=until)
    context.check_stop()
    store.replace_slots(
        context.subject, slots, fingerprint=fingerprint, horizon_end=until, now=now, fence=context.fence
    )
    return len(slots)


def _fingerprint(inputs: AvailabilityInputs) -> str:
    calendars = tuple(
        (calendar.id, calendar.is_required, calendar.read_until is not None) for calendar in inputs.calendars
    )
    parts = (_RULES_VERSION, inputs.zone.key, inputs.parameters, calendars)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
