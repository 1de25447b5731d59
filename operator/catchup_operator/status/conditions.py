"""The conditions of a UserSchedule's status: what each says, and since when; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from catchup_contract.kinds import Job
from catchup_contract.timestamps import format_utc

READY: Final = "Ready"
HEALTH: Final = {Job.SYNC: "SyncHealthy", Job.DIGEST: "DigestHealthy"}

_MESSAGE_MAX: Final = 2000

# Why a run that did not fail still leaves something for somebody to do, and what.
_TO_DO: Final = {
    "Reconnect": "Google says that the consent is gone; the user must connect the calendar again",
    "NotConnected": "the user has no calendar connected; run `catchup-jobs calendar connect`",
    "NotConfigured": "the installation is not configured for this; see google, twilio and smtp in the chart's values",
    "Late": "the digest could not be sent within four hours of its due time; see why no pod ran",
    "NoChannel": "the user has no address that digests may go to; see `catchup-jobs user show`",
    "Undelivered": "every message was refused for good; see the user's addresses with `catchup-jobs user show`",
    "Unconfirmed": "a message may have been sent and the provider does not list it; it is not sent again",
}
# Why a run that left nothing for anybody to do was less than a whole one.
_FINE: Final = {
    "Partial": "the last run left something out; see the pod's log if it stays so",
    "Locked": "another run of this user was at work",
    "AlreadyDone": "it was done before",
    "Empty": "there was no suggestion to send",
    "Paused": "the user has paused digests",
    "QuietHours": "it was night where the user is, and there is no email",
}


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition without its times; `status` is True, False or Unknown."""

    type: str
    status: str
    reason: str
    message: str


def health(job: Job, entry: Mapping[str, Any], *, switched_off: str | None = None) -> Condition:
    """Return how a job fares, from its part of the status.

    Args:
        job: sync or digest.
        entry: that part, as it will be.
        switched_off: `Suspended` or `Disabled` where the spec says so.
    """
    name = HEALTH[job]
    if switched_off:
        return Condition(name, "Unknown", switched_off, f"the {job} is switched off by the spec")
    result, reason = entry.get("lastResult"), entry.get("lastReason")
    if result is None:
        return Condition(name, "Unknown", "NoRunYet", f"no {job} has ended yet")
    if result == "Failed":
        failures = entry.get("consecutiveFailures", 1)
        message = (entry.get("lastError") or {}).get("message") or "see the log of the Job's pod"
        row = f"{failures} in a row; " if failures > 1 else ""
        return Condition(name, "False", reason or "Failed", f"{row}{message}")
    if reason in _TO_DO:
        return Condition(name, "False", reason, _TO_DO[reason])
    ended = "had nothing to do" if result == "Skipped" else "ended well"
    return Condition(name, "True", reason or result, _FINE.get(reason or "", f"the last {job} {ended}"))


def find(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Return a condition by its type, or nothing."""
    return next((condition for condition in status.get("conditions") or () if condition["type"] == kind), {})


def updated(body: Mapping[str, Any], changed: Sequence[Condition], now: datetime) -> list[dict[str, Any]]:
    """Return the whole list after a change, in a fixed order: a merge patch replaces lists."""
    status = body.get("status") or {}
    order = (READY, *HEALTH.values())
    new = {
        condition.type: {
            "type": condition.type,
            "status": condition.status,
            "reason": condition.reason,
            "message": condition.message[:_MESSAGE_MAX],
            "observedGeneration": body["metadata"]["generation"],
            "lastTransitionTime": _since(find(status, condition.type), condition, now),
        }
        for condition in changed
    }
    kept = {condition["type"]: dict(condition) for condition in status.get("conditions") or ()}
    both = {**kept, **new}
    return sorted(both.values(), key=lambda each: order.index(each["type"]) if each["type"] in order else len(order))


def _since(before: Mapping[str, Any], condition: Condition, now: datetime) -> str:
    if before.get("status") == condition.status:
        return str(before["lastTransitionTime"])
    return format_utc(now)
