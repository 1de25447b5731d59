"""The condition of each kind of job, e.g. SyncHealthy: how its last run ended, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from catchup_contract.kinds import Kind, user_kinds
from catchup_contract.outcomes import ADVICE, Reason
from catchup_contract.summary import LEFT_OUT
from catchup_operator.status.conditions import Condition, find_condition
from catchup_operator.status.job_section import DISABLED
from catchup_operator.status.ready import SUSPENDED

NOT_RESUMED: Final = "NotResumed"

SwitchedOff = Mapping[Kind, str | None]
"""By kind why the spec switches it off (`Suspended`, `Disabled`), None for one that is on."""
UNKNOWN: Final[SwitchedOff] = MappingProxyType({})
"""Of a spec that cannot be read, or is not asked."""


def job_health(kind: Kind, section: Mapping[str, Any], *, switched_off: str | None = None) -> Condition:
    """Return the condition of a kind.

    Args:
        kind: the kind of job.
        section: the kind's section of the new status.
        switched_off: `Suspended` or `Disabled` where the spec says so.
    """
    condition = user_kinds()[kind].condition
    if switched_off:
        return Condition(condition, "Unknown", switched_off, f"the {kind} is switched off by the spec")
    result, reason = section.get("lastResult"), section.get("lastReason")
    if result is None:
        return Condition(condition, "Unknown", "NoRunYet", f"no {kind} has ended yet")
    if result == "Failed":
        failures = section.get("consecutiveFailures", 1)
        message = (section.get("lastError") or {}).get("message") or "see the log of the Job's pod"
        streak = f"{failures} in a row; " if failures > 1 else ""
        return Condition(condition, "False", reason or "Failed", f"{streak}{message}")
    advice = next((advice for known, advice in ADVICE.items() if known.camel_case == reason), None)
    if advice is None:
        ended = "had nothing to do" if result == "Skipped" else "ended well"
        return Condition(condition, "True", reason or result, f"the last {kind} {ended}")
    message = _left_out(section.get("counts") or {}) if reason == Reason.PARTIAL.camel_case else None
    return Condition(condition, "False" if advice.act else "True", reason or result, message or advice.text)


def switching(body: Mapping[str, Any], off: SwitchedOff) -> Iterator[Condition]:
    """Yield the conditions of kinds that the spec switches on or off where that cannot be done yet, as `Ready` says."""
    for kind, reason in off.items():
        condition = user_kinds()[kind].condition
        before = find_condition(body.get("status") or {}, condition).get("reason")
        if reason is None and before in {SUSPENDED, DISABLED}:
            text = f"the spec does not switch the {kind} off any more, but it is not resumed yet; Ready says why"
            yield Condition(condition, "Unknown", NOT_RESUMED, text)
        elif reason is not None and before == NOT_RESUMED:
            yield job_health(kind, {}, switched_off=reason)


def _left_out(counts: Mapping[str, int]) -> str | None:
    """Say what a sync left out, and what follows. Names of calendars are personal, and in the database only."""
    parts = [text.format(counts[count]) for count, text in LEFT_OUT.items() if counts.get(count)]
    return "; ".join([*parts, "`catchup-jobs user show` names the calendars"]) if parts else None
