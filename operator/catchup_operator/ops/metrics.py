"""The metrics of `/metrics`, in Prometheus' text format."""

from __future__ import annotations

from catchup_operator.reconcile.rollout import Rollout


def metrics_text(rollout: Rollout) -> str:
    """Return all metrics."""
    done, waiting = rollout.progress
    lines = (
        "# HELP catchup_rolled_total UserSchedules whose CronJobs were applied again for a changed job template.",
        "# TYPE catchup_rolled_total counter",
        f"catchup_rolled_total {done}",
        "# HELP catchup_roll_waiting UserSchedules that wait for it.",
        "# TYPE catchup_roll_waiting gauge",
        f"catchup_roll_waiting {waiting}",
    )
    return "\n".join([*lines, ""])
