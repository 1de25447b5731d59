"""Waiting until the quota that all pods share admits a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from catchup_jobs.jobs.run.context import pause

if TYPE_CHECKING:
    from catchup_jobs.jobs.run.context import RunContext
    from catchup_jobs.jobs.sync.ports import RequestQuota

# Shorter waits are normal and not logged.
_LOGGED_SECONDS: Final = 5.0
"""A wait for the quota from which on it is logged."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class QuotaGate:
    """Called before each request; returns when it may be made.

    Raises:
        RunInterruptedError: SIGTERM came, or the wait ends after the deadline. No attempt is recorded.
        JobError: the quota cannot be used.
    """

    context: RunContext
    quota: RequestQuota

    def __call__(self) -> None:
        """Wait."""
        seconds = self.quota.reserve()
        if seconds >= _LOGGED_SECONDS:
            _log.info("waiting for a place in Google's quota", seconds=round(seconds, 1))
        if seconds > 0:
            pause(self.context.process, self.context.deadline, seconds)
