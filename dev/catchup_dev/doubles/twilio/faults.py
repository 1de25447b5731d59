"""Scripted faults of the messaging API."""

from __future__ import annotations

from dataclasses import dataclass

from catchup_dev.doubles.faults import Scripted


@dataclass(kw_only=True)
class Fault(Scripted):
    """One scripted fault.

    Attributes:
        kind, to: which requests it hits (`create`, `list`, `fetch`; the recipient); None hits all.
        status, code, retry_after: answer with this HTTP status, Twilio's error code and wait instead.
        drop: close the connection without doing anything.
        accept_then_drop: do it, then close the connection without an answer.
        truncate: do it, and send half of the answer.
        drip_head: do it, and send the status line one byte each so many seconds.
        huge: do it, and answer with so many bytes.
        body: do it, and answer with this text.
        empty: list nothing.
    """

    kind: str | None = None
    to: str | None = None
    status: int | None = None
    code: int | None = None
    retry_after: str | None = None
    drop: bool = False
    accept_then_drop: bool = False
    truncate: bool = False
    drip_head: float = 0
    huge: int = 0
    body: str | None = None
    empty: bool = False
