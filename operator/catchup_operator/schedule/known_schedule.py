"""What a pool's pods must know of a UserSchedule, from a body that may be older than the schema's rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from catchup_contract.api import USER_ID_PATTERN
from catchup_contract.kinds import DIGEST, SYNC, Kind
from catchup_contract.requests import requested_at
from catchup_contract.schedule_list import REQUEST_FIELDS, ListedSchedule
from catchup_contract.timestamps import format_utc, parse_utc
from catchup_operator.schedule.fields import InvalidSpecError
from catchup_operator.schedule.user_schedule import UserSchedule


@dataclass(frozen=True, slots=True)
class KnownSchedule:
    """A UserSchedule; `listed.is_served` says nothing of older ones of the same user yet.

    Attributes:
        created: when it was created (RFC 3339).
        is_ending: whether it is being deleted, so that a younger one may serve its user.
        asked: by kind when a run by hand was asked for last (RFC 3339, UTC); `listed` names none of them.
    """

    created: str
    is_ending: bool
    listed: ListedSchedule
    asked: Mapping[Kind, str] = field(default_factory=dict, compare=False)


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
        digest_chosen=chosen["time"] if digest.enabled and chosen["time"] != due["time"] else "",
    )
    asked = {kind: at for kind in REQUEST_FIELDS if (at := requested_at(metadata, kind)) is not None}
    return KnownSchedule(created, is_ending, listed, {kind: format_utc(at) for kind, at in asked.items()})


def with_requests(
    known: KnownSchedule, before: KnownSchedule | None, *, taken: Mapping[Kind, str], accepts_new: bool = True
) -> KnownSchedule:
    """Return a UserSchedule whose `listed` names the requests by hand that its pool is to serve.

    One that was taken before the user came to this pool, was resumed, or has the kind of job again is not listed: it
    may have been served, and the pool's pods may not know that any more.

    Args:
        known: what the UserSchedule says now.
        before: what was known of it last, None where nothing was.
        taken: by kind the request that its status says was taken last (RFC 3339, UTC).
        accepts_new: whether the pool serves new ones.
    """
    listed = known.listed
    requests: dict[str, Any] = {}
    stays = before is not None and _stay(before.listed) == _stay(listed)
    for kind, field_name in REQUEST_FIELDS.items():
        asked = known.asked.get(kind, "")
        if not (asked and listed.pool and listed.is_served and listed.has(kind)):
            continue
        is_listed = is_news = False
        if before is not None and stays and before.listed.has(kind):
            is_listed = getattr(before.listed, field_name) == asked
            is_news = before.asked.get(kind) != asked  # also where the watch told of both at once
        if is_listed or (accepts_new and (is_news or asked > taken.get(kind, ""))):
            requests[field_name] = asked
    return replace(known, listed=replace(listed, **requests)) if requests else known


def with_edit(known: KnownSchedule, before: KnownSchedule | None, now: datetime) -> KnownSchedule:
    """Return a UserSchedule whose `listed` says when its times were changed last, as far as its pool must know.

    Args:
        known: what the UserSchedule says at `now` (aware).
        before: what was known of it last, None where nothing was.
    """
    if before is None or not known.listed.pool or known.listed.edited_at:
        return known
    at = before.listed.edited_at if _times(before.listed) == _times(known.listed) else format_utc(now)
    return replace(known, listed=replace(known.listed, edited_at=at))


def _times(listed: ListedSchedule) -> tuple[str, ...]:
    return (listed.time_zone, listed.sync_every, listed.digest_day, listed.digest_time)


def without_requests(known: KnownSchedule, told: ListedSchedule, order: int) -> KnownSchedule:
    """Return a UserSchedule without the requests that were asked for before a list was made, and were not on it.

    Args:
        told: the UserSchedule on that list.
        order: of the list (milliseconds since 1970).
    """
    gone: dict[str, Any] = {
        name: ""
        for name in REQUEST_FIELDS.values()
        if (asked := getattr(known.listed, name)) and asked != getattr(told, name)
        if parse_utc(asked).timestamp() * 1000 <= order
    }
    return replace(known, listed=replace(known.listed, **gone)) if gone else known


def _stay(listed: ListedSchedule) -> tuple[str, str, str, bool]:
    return (listed.uid, listed.user_id, listed.pool, listed.is_served)
