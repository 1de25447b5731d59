"""Which UserSchedule serves a user when several name the same one: the oldest, in whatever namespace.

Pure bookkeeping of what was shown. Two resources made in the same second are told apart by their uids, so that every
start of the operator decides alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from catchup_operator.state.drift import Key, key_of


@dataclass(slots=True, frozen=True, order=True)
class Claim:
    """A UserSchedule that names a user; the smallest one is the oldest."""

    created: str
    uid: str
    key: Key

    def __str__(self) -> str:
        """Return `namespace/name`."""
        return "/".join(self.key)


class Claims:
    """All claims, by user; tells whose standing changed by what was shown of another."""

    def __init__(self) -> None:
        self._by_user: dict[str, tuple[Claim, ...]] = {}
        self._user_of: dict[Key, str] = {}
        self._on_change: Callable[[Key], None] = _nobody_is_told

    def report_to(self, on_change: Callable[[Key], None]) -> None:
        """Call `on_change(key)` for every UserSchedule that gains or loses its user from now on."""
        self._on_change = on_change

    def hold(self, body: Mapping[str, Any]) -> Claim:
        """Note that a UserSchedule exists; return its claim."""
        metadata = body["metadata"]
        key, user = key_of(body), _user_of(body)
        claim = Claim(metadata.get("creationTimestamp", ""), metadata["uid"], key)
        held = self._by_user.get(user, ())
        if claim in held:
            return claim
        if key in self._user_of:  # deleted and made again, unseen
            self.release(key)
            held = self._by_user.get(user, ())
        self._user_of[key] = user
        self._by_user[user] = tuple(sorted((*held, claim)))
        if held and claim < held[0]:
            self._on_change(held[0].key)
        return claim

    def release(self, key: Key, uid: str | None = None) -> None:
        """Note that a UserSchedule is gone; with a uid, only if it is that one."""
        user = self._user_of.get(key)
        if user is None:
            return
        held = self._by_user[user]
        left = tuple(claim for claim in held if claim.key != key or uid not in {None, claim.uid})
        if left == held:
            return
        del self._user_of[key]
        if not left:
            del self._by_user[user]
            return
        self._by_user[user] = left
        if left[0] != held[0]:
            self._on_change(left[0].key)

    def oldest_beside(self, claim: Claim) -> Claim | None:
        """Return the older claim that keeps this one from its user, or None if it has the user."""
        oldest = self._by_user[self._user_of[claim.key]][0]
        return None if oldest == claim else oldest

    def losers(self) -> Iterable[Key]:
        """Return the UserSchedules that an older one keeps from their user."""
        return [claim.key for held in self._by_user.values() for claim in held[1:]]


def _user_of(body: Mapping[str, Any]) -> str:
    spec = body.get("spec")
    user = spec.get("userId") if isinstance(spec, Mapping) else None
    # What names no user conflicts with nothing.
    return user if isinstance(user, str) else f"?{body['metadata']['uid']}"


def _nobody_is_told(key: Key) -> None:
    """Before anybody asked for reports."""
