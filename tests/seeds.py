"""Which seeds the random runs play: a few, all with CATCHUP_TORTURE, or the one that CATCHUP_SEED names."""

from __future__ import annotations

import os
from typing import Any

import pytest


def seeds(*, few: int, in_sample: int, all_of_them: int = 200) -> list[Any]:
    """Return the seeds to play now, as parameters of a test; `make test` plays the first `in_sample` of them."""
    if chosen := os.environ.get("CATCHUP_SEED"):
        return [int(chosen)]
    numbers = range(all_of_them if "CATCHUP_TORTURE" in os.environ else few)
    return [*numbers[:in_sample], *(pytest.param(number, marks=pytest.mark.release) for number in numbers[in_sample:])]
