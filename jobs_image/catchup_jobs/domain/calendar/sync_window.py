"""Whether a calendar needs a full or an incremental sync, and over which time.

A sync token brings changed events only; unchanged ones that enter the window as time passes never arrive. So a full
sync reads further ahead than needed, and the next one follows before the rest of that time becomes too short.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from catchup_contract.cadence import stable_hash

LOOK_BACK: Final = timedelta(days=1)
"""How far before now events are read."""
LOOK_AHEAD: Final = timedelta(days=45)
"""How far ahead of now events are read."""
AVAILABILITY_SPAN: Final = timedelta(days=30)
"""How far ahead of now free slots are stored."""

# A full sync is due while what was read still covers the free slots, even if some runs fail. When exactly differs
# between calendars, so that a fleet connected on one day is not reread on one day.
FULL_SYNC_MARGIN: Final = timedelta(days=2)
"""How long before the events that were read no longer cover the free slots a full sync is due at the latest."""
FULL_SYNC_SPREAD: Final = timedelta(days=7)
"""The time over which full syncs of the calendars are spread."""


@dataclass(frozen=True, slots=True)
class Window:
    """The time of which events are kept: those that end after `start` and start before `end` (both UTC)."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class SyncState:
    """The state of a calendar after its last sync; all None before the first."""

    sync_token: str | None = None
    params_hash: str | None = None
    horizon_end: datetime | None = None


@dataclass(frozen=True, slots=True)
class FullSync:
    """Read every event of the window, then reconcile."""

    window: Window


@dataclass(frozen=True, slots=True)
class IncrementalSync:
    """Read what changed since the token was given; the window is the last full sync's."""

    window: Window
    sync_token: str


def full_window(now: datetime) -> Window:
    """Return the window of a full sync that runs at `now` (aware)."""
    return Window(now - LOOK_BACK, now + LOOK_AHEAD)


def choose_sync(
    state: SyncState, *, params_hash: str, spread_key: str, now: datetime, force_full: bool = False
) -> FullSync | IncrementalSync:
    """Return how to read a calendar.

    Args:
        state: what the last sync stored.
        params_hash: hash of the current request parameters; Google refuses a token with other ones.
        spread_key: what tells calendars apart (user and calendar); decides the moment of the next full sync.
        now: the present (aware).
        force_full: make a full sync whatever the state.
    """
    if (
        force_full
        or state.sync_token is None
        or state.horizon_end is None
        or state.params_hash != params_hash
        or state.horizon_end - now < AVAILABILITY_SPAN + FULL_SYNC_MARGIN + FULL_SYNC_SPREAD * spread(spread_key)
    ):
        return FullSync(full_window(now))
    return IncrementalSync(Window(now - LOOK_BACK, state.horizon_end), state.sync_token)


def spread(key: str) -> float:
    """Return a number in [0, 1) that depends on `key` alone, evenly spread over keys."""
    return stable_hash(key) / 2**256
