"""What the double knows and what scripts may do to it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Any

from catchup_dev.doubles.faults import Faults, Scripted

if TYPE_CHECKING:
    from pathlib import Path

USERNAME = "catchup"
PASSWORD = "double"  # noqa: S105 - made up
STAGES = frozenset({"connect", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "message"})


@dataclass(kw_only=True)
class Fault(Scripted):
    """One scripted fault.

    Attributes:
        stage: where in the conversation; `message` is after the final dot.
        reply: answer with this line, e.g. `451 later`.
        drop: hang up instead of answering; at `message` nothing is kept.
        accept_then_drop: keep the message, then hang up (`message` only).
    """

    stage: str
    reply: str | None = None
    drop: bool = False
    accept_then_drop: bool = False


@dataclass(frozen=True)
class Received:
    """A message that was accepted."""

    sender: str
    recipients: list[str]
    content: bytes
    encrypted: bool
    login: str | None


class Control:
    """Scripts, and the mail that came; every public method is a command of the control API.

    Attributes:
        password: of the one user.
    """

    def __init__(self, outbox: Path | None = None) -> None:
        self.password = PASSWORD
        self._outbox = outbox
        self._lock = threading.RLock()
        self._faults = Faults(Fault)
        self._received: list[Received] = []
        self._stages: list[str] = []
        self._settings = {"starttls": True, "auth": True}

    def add_fault(self, **fields: Any) -> int:
        """Script a fault (fields of `Fault`) and return its id."""
        if fields.get("stage") not in STAGES:
            raise LookupError(f"no stage {fields.get('stage')}")
        with self._lock:
            return self._faults.add(**fields)

    def faults(self) -> list[dict[str, Any]]:
        """Return the faults with how often each fired."""
        with self._lock:
            return self._faults.list()

    def clear_faults(self) -> None:
        """Drop all faults."""
        with self._lock:
            self._faults.clear()

    def set(self, **settings: bool) -> None:
        """Change `starttls` (whether it is offered) or `auth` (whether a login is demanded)."""
        if unknown := settings.keys() - self._settings.keys():
            raise LookupError(f"no setting {', '.join(sorted(unknown))}")
        self._settings |= settings

    def messages(self) -> list[dict[str, Any]]:
        """Return what was accepted, oldest first: envelope, headers and parts."""
        with self._lock:
            return [_shown(received) for received in self._received]

    def stages(self) -> list[str]:
        """Return the stages that clients reached, in order."""
        with self._lock:
            return list(self._stages)

    def reset(self) -> None:
        """Forget mail, faults and settings."""
        with self._lock:
            self._faults.clear()
            self._received.clear()
            self._stages.clear()
            self.password = PASSWORD
            self._settings = {"starttls": True, "auth": True}

    def _setting(self, name: str) -> bool:
        return self._settings[name]

    def _reach(self, stage: str) -> Fault | None:
        with self._lock:
            self._stages.append(stage)
            return self._faults.take(lambda fault: fault.stage == stage)

    def _keep(self, received: Received) -> None:
        with self._lock:
            self._received.append(received)
            if self._outbox is not None:
                self._outbox.mkdir(parents=True, exist_ok=True)
                stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
                (self._outbox / f"{stamp}.eml").write_bytes(received.content)


def _shown(received: Received) -> dict[str, Any]:
    message = message_from_bytes(received.content, policy=default)
    parts = {part.get_content_type(): part.get_content() for part in message.walk() if not part.is_multipart()}
    return {
        "sender": received.sender,
        "recipients": received.recipients,
        "encrypted": received.encrypted,
        "login": received.login,
        "headers": [[name, str(value)] for name, value in message.items()],
        "text": parts.get("text/plain"),
        "html": parts.get("text/html"),
        "raw": received.content.decode("ascii", "replace"),
    }
