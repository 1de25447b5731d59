"""What a pool's pods must know of a UserSchedule, from a body that may be older than the schema's rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from catchup_contract.api import USER_ID_PATTERN
from catchup_contract.kinds import DIGEST, SYNC, Kind
from catchup_contract.requests import requested_at
from catchup_contract.schedule_list import ListedSchedule
from catchup_contract.timestamps import format_utc
from catchup_operator.schedule.fields import InvalidSpecError
from catchup_operator.schedule.user_schedule import UserSchedule


@dataclass(frozen=True, slots=True)
class KnownSchedule:
    """A UserSchedule; `listed.is_served` says nothing of older ones of the same user yet.

    Attributes:
        created: when it was created (RFC 3339).
        is_ending: whether it is being deleted, so that a younger one may serve its user.
    """

    created: str
    is_ending: bool
    listed: ListedSchedule


def known_schedule(body: Mapping[str, Any], *, digest_since: str, digest_spread: int) -> KnownSchedule | None:
    """Return what is known of a UserSchedule; None where it names no user.

    One whose spec is invalid, or that is being deleted, serves nobody and still names a user.

    Args:
        body: the object.
        digest_since: since when its digests are due (RFC 3339, UTC), empty where unknown.
        digest_spread: the window in minutes over which local times are spread.
    """
    metadata, spec = body["metadata"], body.get("spec")
    user_id = spec.get("userId") if isinstance(spec, Mapping) else None
    if not isinstance(user_id, str) or not re.fullmatch(USER_ID_PATTERN, user_id):
        return None
    created, is_ending = str(metadata.get("creationTimestamp", "")), "deletionTimestamp" in metadata
    identity = {"user_id": user_id, "uid": metadata["uid"], "generation": metadata["generation"]}
    try:
        schedule = UserSchedule.from_body(body, digest_spread=digest_spread)
    except InvalidSpecError:
        return KnownSchedule(created, is_ending, ListedSchedule(**identity, is_served=False))
    sync, digest = schedule.sections[SYNC], schedule.sections[DIGEST]
    due, chosen = digest.effective.spec_fields, digest.chosen.spec_fields
    listed = ListedSchedule(
        **identity,
        time_zone=schedule.time_zone,
        sync_every=sync.effective.spec_fields["every"] if sync.enabled else "",
        digest_day=due["day"] if digest.enabled else "",
        digest_time=due["time"] if digest.enabled else "",
        pool=schedule.pool,
        priority=schedule.priority,
        is_served=not (schedule.suspend or is_ending),
        digest_since=digest_since,
        # The clock of the pool's pods ends the suspension: the list stays as it is.
        suspended_until=format_utc(schedule.suspension.until) if schedule.suspension else "",
        sync_requested_at=_request(metadata, SYNC),
        digest_requested_at=_request(metadata, DIGEST),
        digest_chosen=chosen["time"] if digest.enabled and chosen["time"] != due["time"] else "",
    )
    return KnownSchedule(created, is_ending, listed)


def _request(metadata: Mapping[str, Any], kind: Kind) -> str:
    at = requested_at(metadata, kind)
    return "" if at is None else format_utc(at)
