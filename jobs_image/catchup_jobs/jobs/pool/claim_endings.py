"""What becomes of a member's claim when a run ends. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from catchup_contract.kinds import SYNC
from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_jobs.jobs.pool.ports import Settlement
from catchup_jobs.jobs.run.endings import EXIT_CRASHED

if TYPE_CHECKING:
    from datetime import datetime

    from catchup_jobs.jobs.pool.ports import Member
    from catchup_jobs.jobs.run.endings import Report

DEATHS_MAX: Final = 2
"""A member of a pool during whose run so many processes died or crashed gets a dead letter."""
_UNRECORDED: Final = timedelta(seconds=30)
"""After this time a pool tries a run again whose end could not be recorded, or that another process has locked."""
_AFTER_CRASH: Final = timedelta(seconds=10)
"""After this time a pool tries a run again that met an unexpected error."""


def settlement_of(report: Report, member: Member, *, now: datetime) -> Settlement:
    """Return what becomes of the claim of a member whose run has ended with this report, at `now` (aware)."""
    slot = member.slot
    if report.exit_code == EXIT_CRASHED:
        return Settlement(member.user_id, now + _AFTER_CRASH, slot, member.deaths + 1)
    if report.summary.outcome is Outcome.RETRY:
        if report.summary.reason is Reason.TERMINATED:
            return Settlement(member.user_id, now, slot, member.deaths)
        wait = _UNRECORDED if report.retry_in is None else timedelta(seconds=report.retry_in)
        # The next slot does not wait for a server that named a long time: it may be a digest's last one.
        return Settlement(member.user_id, min(now + wait, member.slots.after(now)), slot, member.deaths)
    if report.summary.reason is Reason.LOCKED:
        # The other run may be a late one of the user's own CronJob, which ends without serving this slot.
        unfinished = slot if member.keeps_slot else None
        return Settlement(member.user_id, min(now + _UNRECORDED, member.slots.after(now)), unfinished, member.deaths)
    return _ended(report, member, now)


def _ended(report: Report, member: Member, now: datetime) -> Settlement:
    slot, summary = member.slot, report.summary
    synced_at = summary.started_at if summary.kind is SYNC and summary.outcome is Outcome.DONE else None
    if member.requested_at is not None:
        # A slot that was due meanwhile is next.
        due_at = member.slots.after(now) if slot is None else now
        return Settlement(member.user_id, due_at, slot, answered=member.requested_at, synced_at=synced_at)
    if slot is None:
        return Settlement(member.user_id, member.slots.after(now), synced_at=synced_at)
    # After a failure the newest slot has a budget of its own.
    served_at = slot if summary.outcome is Outcome.FAILED else summary.started_at
    return Settlement(member.user_id, member.slots.next_after(slot, served_at=served_at), synced_at=synced_at)


def is_ours(report: Report) -> bool:
    """Return whether a run failed for what the next user may meet, too: a setting, a server or an error of ours."""
    if report.exit_code in {ExitCode.MISCONFIGURED, EXIT_CRASHED}:
        return True
    summary = report.summary
    return summary.outcome is Outcome.RETRY and summary.reason is Reason.UNAVAILABLE and report.retry_in is None
