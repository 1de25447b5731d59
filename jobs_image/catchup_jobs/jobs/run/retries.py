"""How a run that failed temporarily is tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from catchup_contract.kinds import Kind

FIRST_DELAY_SECONDS: Final = 2.0
"""The delay of a job before its first retry."""
_DELAY_FACTOR: Final = 2
"""So many times the delay before is each further one."""
_JITTER: Final = 0.2
"""The share by which a job's retry delay is shorter or longer at random."""
_LEAST_NAMED_WAIT_SECONDS: Final = 1.0
"""The shortest wait before a retry where the provider names one."""
_NAMED_WAIT_SPREAD_SECONDS: Final = 1.0
"""So much is added at most, at random, to a wait that a provider names, also to the longest."""


def retry_delays(kind: Kind) -> list[float]:
    """Return the delays before the retries of a run of this kind, in seconds and without jitter."""
    return [FIRST_DELAY_SECONDS * _DELAY_FACTOR**number for number in range(kind.retries)]


def retry_delay(kind: Kind, attempts: int, random: float) -> float | None:
    """Return the delay before the next attempt in seconds, None where the retry budget is spent.

    Args:
        attempts: how many attempts have failed, over all pods.
        random: a number in [0, 1), for the jitter.
    """
    delays = retry_delays(kind)
    if attempts > len(delays):
        return None
    return delays[attempts - 1] * (1 - _JITTER + 2 * _JITTER * random)


def named_wait(seconds: float, random: float) -> float:
    """Return how long to wait, in seconds, where a server named the wait: a little longer, so that pods spread out.

    Args:
        seconds: what it named, limited where its answer is read (`adapters/retry_after.py`).
        random: a number in [0, 1).
    """
    return max(seconds, _LEAST_NAMED_WAIT_SECONDS) + _NAMED_WAIT_SPREAD_SECONDS * random
