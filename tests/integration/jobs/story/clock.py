"""The time of a story, one for all its processes: it runs faster than the machine's, and the story turns it forward."""

from __future__ import annotations

import mmap
import struct
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_OFFSET: Final = struct.Struct("<d")
_SPEED_AT: Final = _OFFSET.size


class Clock:
    """Seconds since 1970 as `offset + speed * (the machine's monotonic clock)`; both numbers are in a shared file."""

    def __init__(self, path: Path) -> None:
        """Read the clock that `make` made."""
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 2 * _OFFSET.size)
        (self.speed,) = _OFFSET.unpack_from(self._memory, _SPEED_AT)

    @classmethod
    def make(cls, path: Path, *, speed: float) -> Clock:
        """Make a clock that shows the true time, and goes `speed` times as fast from now on."""
        path.write_bytes(_OFFSET.pack(0.0) + _OFFSET.pack(speed))
        made = cls(path)
        made.turn(datetime.now(UTC))
        return made

    def now(self) -> datetime:
        """Return the time (UTC)."""
        (offset,) = _OFFSET.unpack_from(self._memory)
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=offset + self.speed * time.monotonic())

    def turn(self, instant: datetime) -> None:
        """Let it be that time now."""
        _OFFSET.pack_into(self._memory, 0, instant.timestamp() - self.speed * time.monotonic())
