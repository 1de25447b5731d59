"""Scripted faults of the messaging API."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Fault:
    """One scripted fault.

    Attributes:
        kind, to: which requests it hits (`create`, `list`, `fetch`; the recipient); None hits all.
        skip: how many matching requests pass first.
        times: how many it then hits; None is for ever.
        status, code, retry_after: answer with this HTTP status, Twilio's error code and wait instead.
        delay: wait so many seconds first.
        drop: close the connection without doing anything.
        accept_then_drop: do it, then close the connection without an answer.
        truncate: do it, and send half of the answer.
        drip: do it, and send a byte of the answer's body each so many seconds.
        drip_head: do it, and send the status line so.
        huge: do it, and answer with so many bytes.
        body: do it, and answer with this text.
        empty: list nothing.
        fired: how often it did, so that a test can tell.
    """

    id: int = 0
    kind: str | None = None
    to: str | None = None
    skip: int = 0
    times: int | None = 1
    status: int | None = None
    code: int | None = None
    retry_after: str | None = None
    delay: float = 0
    drop: bool = False
    accept_then_drop: bool = False
    truncate: bool = False
    drip: float = 0
    drip_head: float = 0
    huge: int = 0
    body: str | None = None
    empty: bool = False
    fired: int = field(default=0)


class Faults:
    """The scripted faults; the first that matches is the one that fires."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, **fields: Any) -> int:
        """Add a fault and return its id. Raises TypeError for an unknown field."""
        fault = Fault(**fields)
        fault.id = len(self._faults) + 1
        self._faults.append(fault)
        return fault.id

    def clear(self) -> None:
        """Drop all faults."""
        self._faults.clear()

    def list(self) -> list[dict[str, Any]]:
        """Return all faults with their counters."""
        return [asdict(fault) for fault in self._faults]

    def take(self, kind: str, to: str | None) -> Fault | None:
        """Return the fault that hits this request, and count it."""
        for fault in self._faults:
            if fault.kind not in {None, kind} or fault.to not in {None, to} or fault.times == 0:
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            if fault.times is not None:
                fault.times -= 1
            fault.fired += 1
            return fault
        return None
