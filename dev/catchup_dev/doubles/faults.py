"""The faults that a test scripts at a double: which comes next, and how often each fired."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(kw_only=True)
class Scripted:
    """What all scripted faults have.

    Attributes:
        skip: how many matching requests pass first.
        times: how many it then hits; None is for ever.
        delay: wait so many seconds first.
        drip: send the answer (of HTTP: its body) one byte each so many seconds.
        fired: how often it did, so that a test can tell.
    """

    id: int = 0
    skip: int = 0
    times: int | None = 1
    delay: float = 0
    drip: float = 0
    fired: int = field(default=0)


F = TypeVar("F", bound=Scripted)


class Faults(Generic[F]):
    """The scripted faults, in the order in which they were added; the first that matches is the one that fires."""

    def __init__(self, kind: Callable[..., F]) -> None:
        self._kind = kind
        self._faults: list[F] = []

    def add(self, **fields: Any) -> int:
        """Add a fault and return its id. Raises TypeError for an unknown field."""
        fault = self._kind(**fields)
        fault.id = len(self._faults) + 1
        self._faults.append(fault)
        return fault.id

    def clear(self) -> None:
        """Drop all faults."""
        self._faults.clear()

    def list(self) -> list[dict[str, Any]]:
        """Return all faults with their counters."""
        return [asdict(fault) for fault in self._faults]

    def take(self, matches: Callable[[F], bool]) -> F | None:
        """Return the fault that hits a request, and count it; `matches` does not look at the counters."""
        for fault in self._faults:
            if not matches(fault) or fault.times == 0:
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            if fault.times is not None:
                fault.times -= 1
            fault.fired += 1
            return fault
        return None
