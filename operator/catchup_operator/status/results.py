"""The result of a finished Job, from its condition and the termination messages of its pods, which are not trusted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from catchup_contract.api import LABEL_JOB, LABEL_USER_SCHEDULE
from catchup_contract.kinds import Kind, kind_named, user_kinds
from catchup_contract.outcomes import ADVICE, ExitCode, Outcome, Reason
from catchup_contract.run_keys import slot_of
from catchup_contract.summary import InvalidSummaryError, Summary
from catchup_contract.timestamps import parse_utc

# Reasons of Kubernetes for the failure of a Job (`JobFailed` in batch/v1).
_POD_FAILURE_POLICY: Final = "PodFailurePolicy"
_BACKOFF_LIMIT: Final = "BackoffLimitExceeded"
_DEADLINE: Final = "DeadlineExceeded"
_JOB_ADVICE: Final = {
    _BACKOFF_LIMIT: "every pod of the Job failed; see their logs",
    _DEADLINE: "the Job was ended at its deadline; see its pod log for what was slow",
}

_BY_EXIT_CODE: Final = {
    ExitCode.PERMANENT.value: Reason.BAD_DATA,
    ExitCode.TEMPORARY.value: Reason.UNAVAILABLE,
    ExitCode.MISCONFIGURED.value: Reason.MISCONFIGURED,
}


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """What is kept of a Job that has ended.

    Attributes:
        schedule: the UserSchedule's name, by the Job's label.
        cronjob: the CronJob that controls the Job, or None.
        slot: the time (UTC) for which the CronJob controller started it, or None for a manual run.
        finished_at: UTC, from the condition that ended it.
        failure: Kubernetes' reason for the failure, or None for a success.
    """

    namespace: str
    name: str
    uid: str
    kind: Kind
    schedule: str
    cronjob: str | None
    slot: datetime | None
    finished_at: datetime
    failure: str | None

    @classmethod
    def from_object(cls, item: Mapping[str, Any]) -> FinishedJob | None:
        """Read a Job; None while it is running, or if it does not belong to a UserSchedule."""
        metadata = item["metadata"]
        labels = metadata.get("labels") or {}
        conditions = (item.get("status") or {}).get("conditions") or ()
        end = next((c for c in conditions if c["type"] in {"Complete", "Failed"} and c["status"] == "True"), None)
        if end is None or LABEL_USER_SCHEDULE not in labels:
            return None
        try:
            kind = kind_named(labels.get(LABEL_JOB, ""))
        except ValueError:
            return None
        if kind not in user_kinds():
            return None
        owners = metadata.get("ownerReferences") or ()
        cronjob = next((o["name"] for o in owners if o.get("controller") and o["kind"] == "CronJob"), None)
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            kind=kind,
            schedule=labels[LABEL_USER_SCHEDULE],
            cronjob=cronjob,
            slot=slot_of(metadata["name"], cronjob) if cronjob else None,
            finished_at=parse_utc(end["lastTransitionTime"]),
            failure=None if end["type"] == "Complete" else str(end.get("reason") or "Failed"),
        )


@dataclass(frozen=True, slots=True)
class JobResult:
    """The result of a Job as the status says it.

    Attributes:
        result: Succeeded, Skipped or Failed.
        reason: CamelCase.
        message: for a failure, what happened and what to do.
    """

    kind: Kind
    job_name: str
    finished_at: datetime
    result: str
    reason: str | None = None
    message: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    slot: datetime | None = None


def result_of(
    finished: FinishedJob, pods: Iterable[Mapping[str, Any]], required_objects: Sequence[str] = ()
) -> JobResult:
    """Return the result of a Job: success or failure by its condition, details by its last pod, if one is left.

    Args:
        finished: the Job.
        pods: its pods that are left; the Job controller deletes those that were running at the deadline.
        required_objects: what the namespace must hold for a pod to start, e.g. `Secret database`.
    """
    summary, exit_code = _last_termination(finished, pods)
    message = None
    if finished.failure is None:
        result = "Skipped" if summary is not None and summary.outcome is Outcome.SKIPPED else "Succeeded"
        reason = summary.reason.camel_case if summary is not None and summary.reason is not None else None
    else:
        result = "Failed"
        reason, advice = _failure(finished.failure, summary, exit_code)
        message = f"Job {finished.name} failed: {advice}"
        if reason == _DEADLINE and exit_code is None and required_objects:
            needed = ", ".join(required_objects)
            message += f". If no pod of it ever started, see whether {finished.namespace} holds {needed}"
    return JobResult(
        kind=finished.kind,
        job_name=finished.name,
        finished_at=finished.finished_at,
        result=result,
        reason=reason,
        message=message,
        counts={str(name): value for name, value in summary.counts.items()} if summary else {},
        slot=finished.slot,
    )


def _failure(failure: str, summary: Summary | None, exit_code: int | None) -> tuple[str, str]:
    """Return the reason and the advice: the job's own reason where Kubernetes' says only that pods failed."""
    reason = None
    if failure in {_POD_FAILURE_POLICY, _BACKOFF_LIMIT} and summary is not None:
        reason = summary.reason
    if failure == _POD_FAILURE_POLICY and reason is None and exit_code is not None:
        reason = _BY_EXIT_CODE.get(exit_code)
    if reason is not None:
        return reason.camel_case, ADVICE[reason].text
    return failure, _JOB_ADVICE.get(failure, "see the log of the Job's pod")


def _last_termination(finished: FinishedJob, pods: Iterable[Mapping[str, Any]]) -> tuple[Summary | None, int | None]:
    """Return the summary, if it is a valid one, and the exit code of the container that terminated last."""
    terminated = [
        container["state"]["terminated"]
        for pod in pods
        for container in (pod.get("status") or {}).get("containerStatuses") or ()
        if (container.get("state") or {}).get("terminated")
    ]
    if not terminated:
        return None, None
    last = max(terminated, key=lambda state: state.get("finishedAt") or "")
    try:
        summary = Summary.from_json(last.get("message") or "")
    except InvalidSummaryError:
        summary = None
    if summary is not None and summary.kind is not finished.kind:
        summary = None
    return summary, last.get("exitCode")
