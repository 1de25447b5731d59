"""The delay before a failed request to the API server is made again: doubled with each failure, with a random part.

Whoever retries names the first and the longest delay beside the loop that waits: the work queue, refusals, the watches.
"""

from __future__ import annotations

import random
from typing import Final

_LEAST_FACTOR: Final = 0.5
"""A delay of the operator after a failure is multiplied by a random factor between this and 1."""
# 2.0 ** 1024 would overflow after a night of failures; the limit applies long before.
_DOUBLINGS_MAX: Final = 20


def backoff_seconds(failures: int, *, first: float, longest: float) -> float:
    """Return the seconds to wait after `failures` failures in a row (1 or more).

    The delay starts at `first`, doubles with each failure up to `longest`, and is multiplied by a random factor of
    `_LEAST_FACTOR` to 1.
    """
    doubled: float = first * 2 ** min(failures - 1, _DOUBLINGS_MAX)
    return min(longest, doubled) * random.uniform(_LEAST_FACTOR, 1)  # noqa: S311 - jitter, not a secret
