"""Runs by hand that a UserSchedule asks for by an annotation, as `kubectl rollout restart` does it for pods.

The value is the time of the request. A request is served once; another time is another request.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from catchup_contract.api import API_GROUP
from catchup_contract.kinds import Kind
from catchup_contract.timestamps import parse_rfc3339

REQUEST_LIFETIME: Final = timedelta(hours=1)
"""A request by hand that could not be served for so long is not served any more."""
_AHEAD: Final = timedelta(minutes=5)
"""How far the clock of whoever sets the annotation may be ahead."""


def request_annotation(kind: Kind) -> str:
    """Return the annotation for a kind, e.g. `catchup.dev/sync-requested-at`."""
    return f"{API_GROUP}/{kind}-requested-at"


def requested_at(metadata: Mapping[str, Any], kind: Kind) -> datetime | None:
    """Return when a run of a kind was asked for (UTC), by an object's metadata; None where it was not, in RFC 3339."""
    value = (metadata.get("annotations") or {}).get(request_annotation(kind))
    try:
        return parse_rfc3339(value) if isinstance(value, str) else None
    except ValueError:
        return None


def is_live(requested: datetime, now: datetime) -> bool:
    """Return whether a request is to be served at `now`; both are aware."""
    return -_AHEAD <= now - requested <= REQUEST_LIFETIME
