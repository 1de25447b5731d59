"""Bodies and objects as the API server would show them."""

from __future__ import annotations

from typing import Any

from catchup_operator.job_template import JobTemplate
from catchup_operator.schedule.user_schedule import UserSchedule

TEMPLATE = JobTemplate(image="catchup-jobs:test")


def body(
    spec: dict[str, Any] | None = None, *, status: dict[str, Any] | None = None, **metadata: Any
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "metadata": {"namespace": "people", "name": "ada", "uid": "uid-1", "generation": 1, **metadata},
        "spec": {"userId": "ada", **(spec or {})},
    }
    if status is not None:
        document["status"] = status
    return document


def schedule(spec: dict[str, Any] | None = None, *, digest_spread: int = 0, **metadata: Any) -> UserSchedule:
    return UserSchedule.from_body(body(spec, **metadata), digest_spread=digest_spread)
