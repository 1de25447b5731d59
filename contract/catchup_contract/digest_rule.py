"""When a digest is due, and when a message would disturb."""

from __future__ import annotations

from typing import Final

# Local times between which an SMS would disturb.
QUIET_FROM: Final = "21:00"
QUIET_UNTIL: Final = "08:00"
