"""How a run that failed temporarily is tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from catchup_contract.kinds import Kind

FIRST_DELAY_SECONDS: Final = 2.0
"""The delay of a job before its first retry; each further one is twice as long (2, 4, 8 s)."""
_JITTER: Final = 0.2
"""The share by which a retry delay varies at random."""
_LEAST_NAMED_WAIT_SECONDS: Final = 1.0
"""The shortest wait before a retry where the provider names one."""


def retry_delays(kind: Kind) -> list[float]:
    """Return the delays before the retries of a run of this kind, in seconds and without jitter."""
    return [FIRST_DELAY_SECONDS * 2**number for number in range(kind.retries)]


def retry_delay(kind: Kind, attempts: int, random: float) -> float | None:
    """Return the delay before the next attempt in seconds, None where the retry budget is spent.

    Args:
        attempts: how many attempts have failed, over all pods.
        random: a number in [0, 1), for the jitter of 20 %.
    """
    delays = retry_delays(kind)
    if attempts > len(delays):
        return None
    return delays[attempts - 1] * (1 - _JITTER + 2 * _JITTER * random)


def named_wait(seconds: float, random: float) -> float:
    """Return how long to wait, in seconds, where a server named the wait: up to 1 s more, so that pods spread out."""
    return max(seconds, _LEAST_NAMED_WAIT_SECONDS) + random
