from __future__ import annotations

from typing import Any

from catchup_operator.state.reported_conditions import ReportedCondition, ReportedConditions


def body(name: str, **reasons: str) -> dict[str, Any]:
    conditions = [
        {"type": kind, "status": "True" if reason == "Reconciled" else "False", "reason": reason}
        for kind, reason in reasons.items()
    ]
    return {"metadata": {"namespace": "people", "name": name}, "status": {"conditions": conditions}}


def test_each_schedule_counts_once_by_its_newest_conditions_until_it_is_gone() -> None:
    reported = ReportedConditions()
    reported.observe({"metadata": {"namespace": "people", "name": "ada"}})
    assert reported.counts()[ReportedCondition("Ready", "Unknown", "Unknown")] == 1
    for name in ("ada", "grace", "alan"):
        reported.observe(body(name, Ready="Reconciled", SyncHealthy="RunMissing"))
    reported.observe(body("alan", Ready="Conflict"))
    assert reported.counts() == {
        ReportedCondition("Ready", "True", "Reconciled"): 2,
        ReportedCondition("Ready", "False", "Conflict"): 1,
        ReportedCondition("SyncHealthy", "False", "RunMissing"): 2,
        ReportedCondition("SyncHealthy", "Unknown", "Unknown"): 1,
        ReportedCondition("DigestHealthy", "Unknown", "Unknown"): 3,
    }
    reported.observe({**body("pia", Ready="Pooled"), "spec": {"pool": "night"}})
    assert reported.counts()[ReportedCondition("Ready", "False", "Pooled", "pooled")] == 1
    reported.forget(("people", "alan"))
    reported.forget(("people", "never seen"))
    assert ReportedCondition("Ready", "False", "Conflict") not in reported.counts()
