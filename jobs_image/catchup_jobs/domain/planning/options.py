"""The options of an installation for planning: strategy, contact hours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time
from enum import StrEnum
from typing import Final


class Strategy(StrEnum):
    """Which of the times that fit is proposed.

    `humane`: spread over the dates, in the user's preferred hours, not close to something else. `earliest`: the first.
    """

    HUMANE = "humane"
    EARLIEST = "earliest"


CONTACT_FROM: Final = time(8)
"""From when contacts may be called, on their own clocks, where the installation does not say otherwise."""
CONTACT_UNTIL: Final = time(21, 30)
"""Until when contacts may be called, on their own clocks, where the installation does not say otherwise."""


@dataclass(frozen=True, slots=True)
class PlanningOptions:
    """The options of an installation.

    Attributes:
        contact_from, contact_until: when contacts may be called, on their own clocks; `contact_until` is later, on the
            same day.
    """

    strategy: Strategy = Strategy.HUMANE
    contact_from: time = CONTACT_FROM
    contact_until: time = CONTACT_UNTIL


DEFAULT_OPTIONS: Final = PlanningOptions()
