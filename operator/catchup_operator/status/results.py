"""A finished Job and its pods in, what became of the run out; pure, and trusting no pod."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from catchup_contract.api import LABEL_JOB, LABEL_USER_SCHEDULE
from catchup_contract.kinds import Job
from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_contract.run_keys import slot_of
from catchup_contract.summary import InvalidSummaryError, Summary
from catchup_contract.timestamps import parse_utc

_BY_EXIT_CODE: Final = {
    ExitCode.PERMANENT: Reason.BAD_DATA,
    ExitCode.TEMPORARY: Reason.UNAVAILABLE,
    ExitCode.MISCONFIGURED: Reason.MISCONFIGURED,
}

_DEADLINE: Final = "DeadlineExceeded"
_ADVICE: Final = {
    "Misconfigured": "the installation's settings or credentials are wrong; see the pod's log, then the chart's values",
    "BadData": "the job refused the data it was given; see the Job's pod log",
    "UnknownUser": "the database has no such user; import the user, or delete this UserSchedule",
    "BudgetSpent": "all attempts failed for a temporary cause; a dead letter is kept: see `catchup-jobs failures list`",
    "Unavailable": "a service that the job needs could not be reached; see the Job's pod log",
    "BackoffLimitExceeded": "every pod of the Job failed; see their logs",
    _DEADLINE: "the Job was ended at its deadline; see its pod log for what was slow",
}


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """What is kept of a Job that ended.

    Attributes:
        schedule: the UserSchedule's name, by the Job's label.
        cronjob: the CronJob that controls the Job, or None.
        slot: the time (UTC) that the CronJob controller started it for, or None for a run by hand.
        finished_at: UTC, from the condition that ended it.
        failure: the Job's own CamelCase reason, or None for a success.
    """

    namespace: str
    name: str
    uid: str
    job: Job
    schedule: str
    cronjob: str | None
    slot: datetime | None
    finished_at: datetime
    failure: str | None

    @classmethod
    def from_object(cls, item: Mapping[str, Any]) -> FinishedJob | None:
        """Read a Job; None while it is running, or if it is not one of a UserSchedule's."""
        metadata = item["metadata"]
        found = metadata.get("labels") or {}
        conditions = (item.get("status") or {}).get("conditions") or ()
        end = next((c for c in conditions if c["type"] in {"Complete", "Failed"} and c["status"] == "True"), None)
        if end is None or LABEL_USER_SCHEDULE not in found:
            return None
        try:
            job = Job(found[LABEL_JOB])
        except (KeyError, ValueError):
            return None
        owners = metadata.get("ownerReferences") or ()
        cronjob = next((o["name"] for o in owners if o.get("controller") and o["kind"] == "CronJob"), None)
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            job=job,
            schedule=found[LABEL_USER_SCHEDULE],
            cronjob=cronjob,
            slot=slot_of(metadata["name"], cronjob) if cronjob else None,
            finished_at=parse_utc(end["lastTransitionTime"]),
            failure=None if end["type"] == "Complete" else str(end.get("reason") or "Failed"),
        )


@dataclass(frozen=True, slots=True)
class Run:
    """How a run ended, in the words of the status."""

    job: Job
    job_name: str
    finished_at: datetime
    result: str
    reason: str | None = None
    message: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    slot: datetime | None = None


def conclude(finished: FinishedJob, pods: Iterable[Mapping[str, Any]], needs: Sequence[str] = ()) -> Run:
    """Return the run's outcome: from the Job's condition; details from its last pod, if one is left.

    Args:
        finished: the Job.
        pods: those of its pods that are left; the Job's controller deletes what had not ended by the deadline.
        needs: what the namespace must hold for a pod to begin, in words.
    """
    summary, exit_code = _last_words(finished, pods)
    counts = {str(name): value for name, value in summary.counts.items()} if summary else {}
    if finished.failure is None:
        skipped = summary is not None and summary.outcome is Outcome.SKIPPED
        reason = _camel_case(summary.reason) if summary and summary.reason else None
        return Run(
            finished.job,
            finished.name,
            finished.finished_at,
            "Skipped" if skipped else "Succeeded",
            reason,
            None,
            counts,
            finished.slot,
        )
    reason = finished.failure
    if reason == "PodFailurePolicy" or (reason == "BackoffLimitExceeded" and summary and summary.reason):
        if summary and summary.reason:
            reason = _camel_case(summary.reason)
        elif exit_code in _BY_EXIT_CODE:
            reason = _camel_case(_BY_EXIT_CODE[ExitCode(exit_code)])
    advice = _ADVICE.get(reason, "see the log of the Job's pod")
    message = f"Job {finished.name} failed: {advice}"
    if reason == _DEADLINE and exit_code is None and needs:
        message += f". If no pod of it ever began, see whether {finished.namespace} holds {', '.join(needs)}"
    return Run(finished.job, finished.name, finished.finished_at, "Failed", reason, message, counts, finished.slot)


def _last_words(finished: FinishedJob, pods: Iterable[Mapping[str, Any]]) -> tuple[Summary | None, int | None]:
    ended = [
        container["state"]["terminated"]
        for pod in pods
        for container in (pod.get("status") or {}).get("containerStatuses") or ()
        if (container.get("state") or {}).get("terminated")
    ]
    if not ended:
        return None, None
    last = max(ended, key=lambda state: state.get("finishedAt") or "")
    try:
        summary = Summary.from_json(last.get("message") or "")
    except InvalidSummaryError:
        summary = None
    if summary is not None and summary.job is not finished.job:
        summary = None
    return summary, last.get("exitCode")


def _camel_case(reason: Reason) -> str:
    return "".join(word.capitalize() for word in reason.value.split("_"))
