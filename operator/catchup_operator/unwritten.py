"""Statuses that were handed to kopf and not yet seen.

An event that is older than such a status must not be taken for news, and kopf does not try again when the API server
refuses one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from catchup_operator.ledger import Key, key_of

_PATIENCE_SECONDS: Final = 30.0


class Unwritten:
    """What was handed over, and when (seconds of any clock that only goes forward)."""

    def __init__(self) -> None:
        self._since: dict[Key, tuple[float, str, int]] = {}

    def handed_over(self, body: Mapping[str, Any], now: float) -> None:
        """Note that kopf is to write a status for this generation."""
        self._since[key_of(body)] = (now, body["metadata"]["uid"], body["metadata"]["generation"])

    def awaits(self, key: Key) -> bool:
        """Whether a status of this UserSchedule was not seen yet."""
        return key in self._since

    def covers(self, body: Mapping[str, Any]) -> bool:
        """Whether such a status speaks of this very generation."""
        _, *told = self._since.get(key_of(body), (0.0,))
        return told == [body["metadata"]["uid"], body["metadata"]["generation"]]

    def seen(self, body: Mapping[str, Any]) -> None:
        """Note what the watch shows."""
        waiting = self._since.get(key_of(body))
        if waiting and (body.get("status") or {}).get("observedGeneration", 0) >= waiting[2]:
            del self._since[key_of(body)]

    def forget(self, key: Key) -> None:
        """Note that a UserSchedule is gone."""
        self._since.pop(key, None)

    def lost(self, now: float) -> list[Key]:
        """Return the UserSchedules whose status should have been seen by now."""
        return [key for key, (since, *_) in self._since.items() if now - since > _PATIENCE_SECONDS]
