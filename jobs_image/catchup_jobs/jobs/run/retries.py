"""How a run that failed for a passing cause is tried again."""

from __future__ import annotations

from typing import Final

RETRY_DELAYS_SECONDS: Final = (2.0, 4.0, 8.0)
LEASE_MARGIN_SECONDS: Final = 60
