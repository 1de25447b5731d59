"""Scripted faults: which requests they hit, how often, and what happens to those."""

from __future__ import annotations

from dataclasses import dataclass

from catchup_dev.doubles.faults import Scripted
from catchup_dev.doubles.google.errors import GoogleError, OAuthError

USAGE_LIMIT_REASONS = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded"})


@dataclass(frozen=True)
class Request:
    """What of a request decides about faults and goes into the log; never a token or a query."""

    kind: str  # calendarList, events, token, revoke, authorize
    user: str | None = None
    calendar: str | None = None
    page: int = 1
    sync: str | None = None  # full, incremental


@dataclass(kw_only=True)
class Fault(Scripted):
    """One scripted fault.

    Attributes:
        kind, user, calendar, page: which requests it hits; None hits all.
        status: answer with this HTTP status instead; `reason` and `retry_after` (seconds) shape the answer.
        oauth_error: answer the token endpoint with this error code.
        body: answer with this text instead of JSON; `{fired}` in it becomes the number of the answer.
        drop: close the connection without an answer.
        truncate: send half of the answer's body, then close.
        drip_head: send the status line one byte each so many seconds.
        huge: send a JSON body of so many bytes.
    """

    kind: str | None = None
    user: str | None = None
    calendar: str | None = None
    page: int | None = None
    status: int | None = None
    reason: str | None = None
    retry_after: str | None = None
    oauth_error: str | None = None
    body: str | None = None
    drop: bool = False
    truncate: bool = False
    drip_head: float = 0
    huge: int = 0

    def matches(self, request: Request) -> bool:
        """Return whether the fault concerns a request, whatever its counters say."""
        return (
            self.kind in {None, request.kind}
            and self.user in {None, request.user}
            and self.calendar in {None, request.calendar}
            and self.page in {None, request.page}
        )

    def answer(self) -> GoogleError | OAuthError | None:
        """Return the error to send, or None when only the delivery is faulty."""
        headers = {} if self.retry_after is None else {"Retry-After": self.retry_after}
        if self.oauth_error is not None:
            oauth = OAuthError(self.status or 400, self.oauth_error, "scripted")
            oauth.headers = headers
            return oauth
        if self.status is not None:
            reason = self.reason or {403: "rateLimitExceeded", 429: "rateLimitExceeded"}.get(
                self.status, "backendError"
            )
            domain = "usageLimits" if reason in USAGE_LIMIT_REASONS else "global"
            return GoogleError(self.status, reason, "scripted", domain=domain, headers=headers)
        return None
