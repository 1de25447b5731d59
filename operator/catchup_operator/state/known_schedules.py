"""The UserSchedules of all served namespaces, as the pods of pools are told of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from catchup_contract.kinds import Kind, user_kinds
from catchup_contract.schedule_list import ListedSchedule
from catchup_operator.manifests.names import Key, key_of
from catchup_operator.schedule.known_schedule import (
    KnownSchedule,
    known_schedule,
    with_edit,
    with_requests,
    without_requests,
)
from catchup_operator.state.conflicts import precedence
from catchup_operator.status.job_section import section_of, since_of_list
from catchup_operator.status.member_status import POOLED_HASH
from catchup_operator.status.validation import with_valid_status

# Longer than the pods' longest tick and the age of a mounted file together.
STAY_SECONDS: Final = 900.0
"""How long a UserSchedule that a pool serves stays on its list at least, so that the pool's pods have seen it there."""


class KnownSchedules:
    """Tracks them by key.

    One that leaves a pool is listed as its member until it has CronJobs, and for as long as its pods may not have seen
    that it came: what falls due while it has no CronJobs is the pool's, and both serve it meanwhile by the same runs.

    Args:
        digest_spread: the window in minutes over which local times are spread.
        clock: returns the time in seconds.
        now: returns the time of the day, aware.
    """

    def __init__(
        self,
        digest_spread: int,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._digest_spread = digest_spread
        self._clock = clock
        self._now = now
        self._known: dict[Key, KnownSchedule] = {}
        self._pooled_since: dict[Key, float] = {}
        self._leaving: set[Key] = set()
        self._doubtful: set[Key] = set()

    def observe(self, body: Mapping[str, Any]) -> bool:
        """Record a UserSchedule; return whether that changes the list."""
        key, body = key_of(body), with_valid_status(body)
        known = known_schedule(body, digest_since=since_of_list(body), digest_spread=self._digest_spread)
        before = self._known.get(key)
        if known is None or (before is not None and before.listed.uid != known.listed.uid):
            self.forget(key)
        if known is None:
            return before is not None
        status, spec_pool = body.get("status") or {}, known.listed.pool
        is_pooled = status.get("templateHash") == POOLED_HASH
        if is_pooled:
            self._pooled_since.setdefault(key, self._clock())
        self._leaving.discard(key)
        listed = self._known.get(key)
        # After a restart the status alone says which pool serves the user.
        pool = listed.listed.pool if listed is not None else status.get("pool", "") if is_pooled else ""
        if pool and not known.listed.pool and (is_pooled or self._stays(key)):
            known = replace(known, listed=replace(known.listed, pool=pool))
            if not is_pooled:
                self._leaving.add(key)
        elif not known.listed.pool:
            self._pooled_since.pop(key, None)
        taken = _taken(body)
        if listed is None and is_pooled and status.get("observedGeneration") == known.listed.generation:
            # Taken for this pool: perhaps at this start, by the watch that reconciles. The stored list says if not.
            self._doubtful.add(key)
            taken = {}
        known = with_edit(known, listed, self._now())
        # Of one who leaves a new request is for the CronJobs.
        self._known[key] = with_requests(known, listed, taken=taken, accepts_new=bool(spec_pool))
        return self._known[key] != before

    def resume(self, namespace: str, stored: Iterable[ListedSchedule], order: int = 0) -> bool:
        """Take up after a restart who leaves a pool, by the list that pods of a namespace have; return whether anybody.

        When they came to the pool is not stored: their time begins anew. Requests by hand that the pods have stay, and
        those from before the list (of this `order`) that they do not have were taken elsewhere.
        """
        told = {one.uid: one for one in stored if one.pool}
        found = False
        for key in self.keys_in(namespace):
            known = self._known[key]
            before = told.get(known.listed.uid)
            if before is None:
                continue
            if not known.listed.pool and key not in self._pooled_since:
                known = replace(known, listed=replace(known.listed, pool=before.pool))
                self._pooled_since[key] = self._clock()
                self._leaving.add(key)
                found = True
            known = with_edit(known, replace(known, listed=before), self._now())
            known = with_requests(known, replace(known, listed=before), taken={}, accepts_new=False)
            self._known[key] = without_requests(known, before, order) if key in self._doubtful else known
            self._doubtful.discard(key)
        return found

    def let_leave(self) -> bool:
        """List those as left who have stayed long enough; return whether that changes the list."""
        left = {key for key in self._leaving if not self._stays(key)}
        for key in left:
            known = self._known[key]
            self._known[key] = replace(known, listed=replace(known.listed, pool=""))
            self._pooled_since.pop(key, None)
        self._leaving -= left
        return bool(left)

    def seconds_to_leave(self) -> float | None:
        """Return the seconds until the next one has stayed long enough, None where nobody leaves."""
        ends = (self._pooled_since[key] + STAY_SECONDS for key in self._leaving)
        return max(0.0, min(ends) - self._clock()) if self._leaving else None

    def _stays(self, key: Key) -> bool:
        since = self._pooled_since.get(key)
        return since is not None and self._clock() < since + STAY_SECONDS

    def forget(self, key: Key) -> bool:
        """Record that a UserSchedule is gone; return whether that changes the list."""
        self._pooled_since.pop(key, None)
        self._leaving.discard(key)
        self._doubtful.discard(key)
        return self._known.pop(key, None) is not None

    def keys_in(self, namespace: str | None) -> set[Key]:
        """Return the keys of those in a namespace (None: in all)."""
        return {key for key in self._known if namespace in {None, key[0]}}

    def listed(self, namespace: str, admits: Callable[[Key], bool | None]) -> list[ListedSchedule]:
        """Return the list for the pods of a namespace.

        Of several UserSchedules of one user the oldest is served, if it is to be, and no other. One that names a pool
        which is not there, or does not `admit` UserSchedules, is not served. Pools of other namespaces are not named:
        those of this one may have the same names.
        """
        oldest: dict[str, KnownSchedule] = {}
        for known in self._known.values():
            if not known.is_ending:
                user = known.listed.user_id
                oldest[user] = min(oldest.get(user, known), known, key=_precedence)
        found = []
        for (home, _), known in self._known.items():
            listed, pool = known.listed, (home, known.listed.pool)
            is_served = listed.is_served and oldest.get(listed.user_id) is known and (not pool[1] or bool(admits(pool)))
            found.append(replace(listed, is_served=is_served, pool=listed.pool if home == namespace else ""))
        return found


def _taken(body: Mapping[str, Any]) -> dict[Kind, str]:
    """Return by kind the request by hand that the status says was taken last."""
    taken = {kind: section_of(body, kind).get("requestedAt") for kind in user_kinds()}
    return {kind: at for kind, at in taken.items() if at is not None}


def _precedence(known: KnownSchedule) -> tuple[str, str]:
    return precedence(known.created, known.listed.uid)
