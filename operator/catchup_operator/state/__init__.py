"""What the operator remembers between reconciliations. Lost at its end and rebuilt from the API server at its start."""

from __future__ import annotations

from dataclasses import dataclass, field

from catchup_operator.state.conflicts import Conflicts
from catchup_operator.state.contests import Contests
from catchup_operator.state.drift import DriftDetector
from catchup_operator.state.known_statuses import KnownStatuses
from catchup_operator.state.reported_conditions import ReportedConditions


@dataclass(frozen=True, slots=True)
class State:
    """What is known of one kind of owners: which of them serves whom, contests of their CronJobs, their statuses and
    conditions. The CronJobs that should exist are those of all owners.
    """

    conflicts: Conflicts
    drift: DriftDetector
    contests: Contests = field(default_factory=Contests)
    statuses: KnownStatuses = field(default_factory=KnownStatuses)
    reported: ReportedConditions = field(default_factory=ReportedConditions)
