"""How long to wait after a failure: twice as long each time, with jitter, up to a limit."""

from __future__ import annotations

import random
from typing import Final

# Beyond this the limit holds anyway; 2.0 ** 1024 would overflow after a night of failures.
_DOUBLINGS_MAX: Final = 20


def delay(failures: int, *, first: float, longest: float) -> float:
    """Return the seconds to wait after that many failures in a row (1 or more): half to all of the doubled time."""
    doubled: float = first * 2 ** min(failures - 1, _DOUBLINGS_MAX)
    return min(longest, doubled) * random.uniform(0.5, 1)  # noqa: S311 - spreads load, keeps no secret
