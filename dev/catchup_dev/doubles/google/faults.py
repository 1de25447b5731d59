"""Scripted faults: which requests they hit, how often, and what happens to those."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

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


@dataclass
class Fault:
    """One scripted fault.

    Attributes:
        kind, user, calendar, page: which requests it hits; None hits all.
        skip: how many matching requests pass first.
        times: how many it then hits; None is for ever.
        status: answer with this HTTP status instead; `reason` and `retry_after` (seconds) shape the answer.
        oauth_error: answer the token endpoint with this error code.
        body: answer with this text instead of JSON; `{fired}` in it becomes the number of the answer.
        delay: wait so many seconds first.
        drop: close the connection without an answer.
        truncate: send half of the answer's body, then close.
        drip: send the body one byte each so many seconds.
        drip_head: send the status line so.
        huge: send a JSON body of so many bytes.
        fired: how often it did, so that a test can tell.
    """

    id: int = 0
    kind: str | None = None
    user: str | None = None
    calendar: str | None = None
    page: int | None = None
    skip: int = 0
    times: int | None = 1
    status: int | None = None
    reason: str | None = None
    retry_after: str | None = None
    oauth_error: str | None = None
    body: str | None = None
    delay: float = 0
    drop: bool = False
    truncate: bool = False
    drip: float = 0
    drip_head: float = 0
    huge: int = 0
    fired: int = field(default=0)

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


class Faults:
    """The scripted faults, in the order in which they were added; the first that matches is the one that fires."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._last_id = 0

    def add(self, **fields: Any) -> int:
        """Add a fault and return its id. Raises TypeError for an unknown field."""
        fault = Fault(**fields)
        self._last_id += 1
        fault.id = self._last_id
        self._faults.append(fault)
        return fault.id

    def clear(self) -> None:
        """Drop all faults."""
        self._faults.clear()
        self._last_id = 0

    def list(self) -> list[dict[str, Any]]:
        """Return all faults with their counters."""
        return [asdict(fault) for fault in self._faults]

    def take(self, request: Request) -> Fault | None:
        """Return the fault that hits this request, and count it."""
        for fault in self._faults:
            if not fault.matches(request) or fault.times == 0:
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            if fault.times is not None:
                fault.times -= 1
            fault.fired += 1
            return fault
        return None
