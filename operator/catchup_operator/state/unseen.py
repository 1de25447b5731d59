"""Statuses that are written and that the watch has not shown yet: an event that is older must not be taken for news."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from catchup_operator.state.drift import Key, key_of


class Unseen:
    """What each of these statuses speaks of."""

    def __init__(self) -> None:
        self._written: dict[Key, tuple[str, int]] = {}

    def writing(self, body: Mapping[str, Any]) -> None:
        """Note that the status of this generation is about to be written; `forget` it if that fails."""
        self._written[key_of(body)] = (body["metadata"]["uid"], body["metadata"]["generation"])

    def awaits(self, key: Key) -> bool:
        """Whether a status of this UserSchedule was not seen yet."""
        return key in self._written

    def covers(self, body: Mapping[str, Any]) -> bool:
        """Whether such a status speaks of this very generation."""
        return self._written.get(key_of(body)) == (body["metadata"]["uid"], body["metadata"]["generation"])

    def seen(self, body: Mapping[str, Any]) -> None:
        """Note what the watch shows."""
        written = self._written.get(key_of(body))
        if written and (body.get("status") or {}).get("observedGeneration", 0) >= written[1]:
            del self._written[key_of(body)]

    def forget(self, key: Key) -> None:
        """Note that a UserSchedule is gone, or its status was not written."""
        self._written.pop(key, None)
