"""What the operator remembers between visits; lost at its end and made again from the API server at its start."""

from __future__ import annotations

from dataclasses import dataclass, field

from catchup_operator.reconcile.rollout import Roll
from catchup_operator.state.conflicts import Claims
from catchup_operator.state.drift import Ledger
from catchup_operator.state.next_due import NextDue
from catchup_operator.state.unseen import Unseen


@dataclass(frozen=True, slots=True)
class Memory:
    """Which CronJobs there should be, who serves which user, and what is still to be done or seen for whom."""

    roll: Roll
    ledger: Ledger = field(default_factory=Ledger)
    claims: Claims = field(default_factory=Claims)
    next_due: NextDue = field(default_factory=NextDue)
    unseen: Unseen = field(default_factory=Unseen)
