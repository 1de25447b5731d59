"""What Google's answers mean, whatever comes: a JSON object, or one of a few errors.

A proxy on the way answers in Google's place, with any status and any body. What only Google can say (a calendar is
gone, a request is wrong) counts only with Google's own error body; every other status is temporary.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from catchup_jobs.adapters.json_numbers import whole_number
from catchup_jobs.adapters.retry_after import retry_after_seconds
from catchup_jobs.domain.calendar.access_token import ReconnectNeededError
from catchup_jobs.jobs.run.errors import MisconfiguredError, TemporaryError
from catchup_jobs.jobs.sync.ports import DailyLimitError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

LIMIT_WAIT_SECONDS: Final = 60.0
"""The wait after a usage limit of Google that names no `Retry-After`; Google counts requests by the minute."""

_BAD_REQUEST, _FORBIDDEN, _TOO_MANY, _SERVER_ERROR = 400, 403, 429, 500
# Statuses by which whatever is on the way says that the request should be made again (RFC 9110, RFC 8470).
_OF_THE_WAY: Final = frozenset({407, 408, 421, 425})

_NO_JSON: Final = object()

# https://developers.google.com/workspace/calendar/api/guides/errors and google.api.ErrorReason
_DAILY_LIMITS: Final = frozenset({"dailyLimitExceeded"})
_USAGE_LIMITS: Final = frozenset(
    {
        "rateLimitExceeded",
        "userRateLimitExceeded",
        "quotaExceeded",
        "limitExceeded",
        "RATE_LIMIT_EXCEEDED",
        "RESOURCE_QUOTA_EXCEEDED",
        "RESOURCE_EXHAUSTED",
    }
)
_API_SWITCHED_OFF: Final = frozenset(
    {"accessNotConfigured", "SERVICE_DISABLED", "BILLING_DISABLED", "CONSUMER_SUSPENDED", "CONSUMER_INVALID"}
)
_SCOPE_MISSING: Final = frozenset({"insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"})
# An administrator of the user's organisation does not let this client, or anybody, read the calendar.
_POLICY: Final = frozenset(
    {
        "domainPolicy",
        "notACalendarUser",
        "ORG_RESTRICTION_VIOLATION",
        "admin_policy_enforced",
        "policy_enforced",
        "org_internal",
    }
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer with another status than 200.

    Attributes:
        reasons: the machine-readable reasons in the body, of Google's older and newer errors and of OAuth's.
        is_json: whether the body is JSON, of whatever shape: a proxy's is HTML or empty.
        is_googles: whether the body is an error as Google writes them.
        is_daily: whether the limit that was reached is one for a day.
        wait_seconds: what `Retry-After` asks for.
    """

    status: int
    reasons: frozenset[str]
    is_json: bool
    is_googles: bool
    is_daily: bool
    wait_seconds: float | None


def read_refusal(status: int, headers: Mapping[str, str], content: bytes, *, now: datetime) -> Refusal:
    """Read an answer with another status than 200; of a body in no known form nothing is read."""
    parsed = _parsed(content)
    error = parsed.get("error") if isinstance(parsed, dict) else None
    entries = list(_entries(error))
    reasons = {reason for entry in entries if isinstance(reason := entry.get("reason"), str)}
    if isinstance(error, str):
        reasons.add(error)
    if isinstance(error, dict) and isinstance(error.get("status"), str):
        reasons.add(error["status"])
    return Refusal(
        status=status,
        reasons=frozenset(reasons),
        is_json=parsed is not _NO_JSON,
        is_googles=isinstance(error, dict) and (error.get("code") == status or bool(reasons)),
        is_daily=bool(reasons & _DAILY_LIMITS) or any(_counts_days(entry) for entry in entries),
        wait_seconds=retry_after_seconds(headers.get("retry-after"), now=now),
    )


def meaning_everywhere(refusal: Refusal) -> Exception | None:
    """Return what a refusal means where that is the same for every request to Google, else None."""
    status, reasons = refusal.status, refusal.reasons
    if not _BAD_REQUEST <= status < _SERVER_ERROR or status in _OF_THE_WAY:
        # An outage counts as an attempt even with `Retry-After`; only the wait for a quota does not.
        return TemporaryError(f"Google answers {status}")
    if status == _FORBIDDEN and reasons & _API_SWITCHED_OFF:
        return MisconfiguredError("the Calendar API is switched off in the Google Cloud project of this client")
    if status == _TOO_MANY or (status == _FORBIDDEN and (refusal.is_daily or reasons & _USAGE_LIMITS)):
        return _limit(refusal)
    if status == _FORBIDDEN and reasons & _SCOPE_MISSING:
        return ReconnectNeededError("the user's consent does not cover calendars")
    if reasons & _POLICY:
        return ReconnectNeededError("a policy of the user's organisation forbids the access")
    return None


def _limit(refusal: Refusal) -> Exception:
    if refusal.is_daily:
        return DailyLimitError("Google's limit of requests a day is reached")
    wait = refusal.wait_seconds if refusal.wait_seconds is not None else LIMIT_WAIT_SECONDS
    return TemporaryError("Google's usage limit is reached", wait_seconds=wait)


def json_object(content: bytes) -> dict[str, Any]:
    """Return the JSON object of an answer.

    Raises:
        TemporaryError: it is something else; the message has none of it.
    """
    parsed = _parsed(content)
    if not isinstance(parsed, dict):
        raise TemporaryError("Google's answer is not a JSON object")
    return parsed


def _parsed(content: bytes) -> object:
    try:
        return json.loads(content, parse_int=whole_number)
    except (ValueError, RecursionError):
        return _NO_JSON


def _entries(error: object) -> Iterator[dict[str, Any]]:
    """Yield the entries of an error: `errors` in the older form, `details` (google.rpc.ErrorInfo) in the newer."""
    if not isinstance(error, dict):
        return
    for name in ("errors", "details"):
        entries = error.get(name)
        yield from (entry for entry in (entries if isinstance(entries, list) else ()) if isinstance(entry, dict))


def _counts_days(entry: Mapping[str, Any]) -> bool:
    metadata = entry.get("metadata")
    return isinstance(metadata, dict) and (
        "perday" in str(metadata.get("quota_limit")).lower() or "/d/" in str(metadata.get("quota_unit"))
    )
