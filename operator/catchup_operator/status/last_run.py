"""What a section of the status says of the last run of its kind."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from catchup_contract.digest_rule import LATEST
from catchup_contract.kinds import user_kinds
from catchup_contract.outcomes import Reason
from catchup_contract.timestamps import format_utc, parse_utc
from catchup_operator.schedule.timetable import TIMETABLES
from catchup_operator.status.results import JobResult

# A digest is sent up to `LATEST` after its due time. Where a zone has two offsets it fires an hour before that as well,
# and a run takes some minutes.
_ONE_DUE_DATE: Final = LATEST + timedelta(hours=2)
"""The runs of all firings of a due date end within this time; an earlier run served another date."""


def is_recorded(section: Mapping[str, Any], finished_at: datetime, job_name: str) -> bool:
    """Whether the section contains a Job's result, or that of a Job that ended later."""
    last = section.get("lastRunTime") or ""
    ended = format_utc(finished_at)
    return bool(ended < last or (ended == last and job_name == section.get("lastJobName")))


def is_repetition(section: Mapping[str, Any], result: JobResult) -> bool:
    """Whether a result adds nothing to the section.

    A kind with due dates fires several times for each of them: perhaps too early in UTC, and again after the date was
    served. Such a firing must not replace the result for the date, nor cost a write.
    """
    rule = user_kinds()[result.kind].rule
    if not TIMETABLES[rule].has_due_dates or result.slot is None or result.result != "Skipped":
        return False
    if result.reason == Reason.NOT_DUE.camel_case:
        return True
    last = section.get("lastRunTime")
    same_date = last is not None and result.finished_at - parse_utc(last) < _ONE_DUE_DATE
    return same_date and result.reason in {Reason.ALREADY_DONE.camel_case, section.get("lastReason")}


def last_run_fields(section: Mapping[str, Any], result: JobResult) -> dict[str, Any]:
    """Return the fields of the section for a result, as a merge patch of the present section."""
    ended = format_utc(result.finished_at)
    failed = result.result == "Failed"
    fields: dict[str, Any] = {
        "lastRunTime": ended,
        "lastResult": result.result,
        "lastReason": result.reason,
        "lastJobName": result.job_name,
        # A merge patch keeps what it does not name; counts of the run before must go.
        "counts": {**dict.fromkeys(section.get("counts") or {}), **result.counts},
        "consecutiveFailures": section.get("consecutiveFailures", 0) + 1 if failed else 0,
    }
    if result.result == "Succeeded":
        fields["lastSuccessTime"] = ended
    if failed:
        fields["lastError"] = {"reason": result.reason, "message": result.message, "time": ended}
    return fields
