"""Which seeds the random runs play: a few, all with CATCHUP_TORTURE, or the one that CATCHUP_SEED names."""

from __future__ import annotations

import os
from collections.abc import Sequence


def seeds(*, few: int, all_of_them: int = 200) -> Sequence[int]:
    """Return the seeds to play now."""
    if chosen := os.environ.get("CATCHUP_SEED"):
        return [int(chosen)]
    return range(all_of_them if "CATCHUP_TORTURE" in os.environ else few)
