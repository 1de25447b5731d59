"""What the double knows: messages, who sent STOP, and what becomes of a message after its 201."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from catchup_dev.doubles.faults import Faults
from catchup_dev.doubles.twilio.faults import Fault
from catchup_jobs.domain.digest.gsm7 import segments

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ACCOUNT_SID = "AC" + "0" * 32
AUTH_TOKEN = "double"  # noqa: S105 - a made-up account of a double
SENDER = "+15550100000"
_E164 = re.compile(r"\+[1-9]\d{6,14}")
_MAX_BODY = 1600


class TwilioError(Exception):
    """An answer other than 2xx, as Twilio words it."""

    def __init__(self, status: int, code: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.body = {
            "code": code,
            "message": message,
            "more_info": f"https://www.twilio.com/docs/errors/{code}",
            "status": status,
        }


def _clock() -> datetime:
    return datetime.now(UTC)


@dataclass
class Messages:
    """The account's messages, newest first in lists, as Twilio lists them.

    Attributes:
        now: the provider's clock, which a test may turn.
    """

    outbox: Path | None = None
    sent: list[dict[str, Any]] = field(default_factory=list)
    stopped: set[str] = field(default_factory=set)
    outcomes: dict[str, tuple[str, int | None]] = field(default_factory=dict)
    senders: set[str] = field(default_factory=lambda: {SENDER})
    now: Callable[[], datetime] = _clock

    def create(self, form: dict[str, str]) -> dict[str, Any]:
        """Take a message, or refuse it as Twilio would."""
        to, body = form.get("To", ""), form.get("Body", "")
        sender, service = form.get("From"), form.get("MessagingServiceSid")
        if sender is None and service is None:
            raise TwilioError(400, 21603, "A 'From' phone number is required.")
        if sender is not None and sender not in self.senders:
            raise TwilioError(400, 21606, "The 'From' phone number is not a valid, SMS-capable sender.")
        if not _E164.fullmatch(to):
            raise TwilioError(400, 21211, "Invalid 'To' Phone Number")
        if not body:
            raise TwilioError(400, 21602, "Message body is required.")
        if len(body) > _MAX_BODY:
            raise TwilioError(400, 21617, "The concatenated message body exceeds the 1600 character limit.")
        if to in self.stopped and service is None:
            raise TwilioError(400, 21610, "Attempt to send to unsubscribed recipient")
        message = self._new(to, body, sender, service)
        if to in self.stopped:
            # With a Messaging Service the refusal comes after the 201.
            message["_outcome"] = ("failed", 21610)
        self.sent.insert(0, message)
        self._deliver(message)
        return shown(message)

    def fetch(self, sid: str) -> dict[str, Any]:
        """Return a message; its status goes on from what it was at the last look."""
        for message in self.sent:
            if message["sid"] == sid:
                _go_on(message)
                return shown(message)
        raise TwilioError(404, 20404, "The requested resource was not found")

    def list(self, to: str | None) -> list[dict[str, Any]]:
        """Return the messages to a number, newest first."""
        found = [message for message in self.sent if to in {None, message["to"]}]
        for message in found:
            _go_on(message)
        return [shown(message) for message in found]

    def _new(self, to: str, body: str, sender: str | None, service: str | None) -> dict[str, Any]:
        now = format_datetime(self.now())
        sid = "SM" + secrets.token_hex(16)
        return {
            "sid": sid,
            "account_sid": ACCOUNT_SID,
            "api_version": "2010-04-01",
            "to": to,
            "from": sender,
            "messaging_service_sid": service,
            "body": body,
            "status": "queued" if service is None else "accepted",
            "direction": "outbound-api",
            "num_segments": str(segments(body)),
            "num_media": "0",
            "date_created": now,
            "date_updated": now,
            "date_sent": None,
            "error_code": None,
            "error_message": None,
            "price": None,
            "price_unit": "USD",
            "uri": f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/{sid}.json",
            "subresource_uris": {},
            "_outcome": self.outcomes.get(to, ("delivered", None)),
        }

    def _deliver(self, message: dict[str, Any]) -> None:
        if self.outbox is None:
            return
        self.outbox.mkdir(parents=True, exist_ok=True)
        stamp = self.now().strftime("%Y%m%dT%H%M%S%f")
        path = self.outbox / f"{stamp}-{message['sid']}.sms.json"
        path.write_text(json.dumps(shown(message), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def shown(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message without the double's own notes."""
    return {name: value for name, value in message.items() if not name.startswith("_")}


def _go_on(message: dict[str, Any]) -> None:
    message["status"], message["error_code"] = message["_outcome"]
    message["date_sent"] = message["date_sent"] or message["date_created"]


class Control:
    """What scripts may do to the double; every public method is a command of the control API."""

    def __init__(self, store: Messages, faults: Faults[Fault], log: list[dict[str, Any]]) -> None:
        self._store, self._faults, self._log = store, faults, log

    def add_fault(self, **fields: Any) -> int:
        """Script a fault (fields of `faults.Fault`) and return its id."""
        return self._faults.add(**fields)

    def faults(self) -> list[dict[str, Any]]:
        """Return the faults with how often each fired."""
        return self._faults.list()

    def clear_faults(self) -> None:
        """Drop all faults."""
        self._faults.clear()

    def stop(self, number: str) -> None:
        """Let a recipient reply STOP."""
        self._store.stopped.add(number)

    def outcome(self, number: str, status: str, error_code: int | None = None) -> None:
        """Let messages to a number, sent from now on or before, end like this at the next look."""
        self._store.outcomes[number] = (status, error_code)
        for message in self._store.sent:
            if message["to"] == number:
                message["_outcome"] = (status, error_code)

    def messages(self, to: str | None = None) -> list[dict[str, Any]]:
        """Return what was accepted, oldest first, without letting the statuses go on."""
        return [shown(message) for message in reversed(self._store.sent) if to in {None, message["to"]}]

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests of Twilio's clients."""
        return list(self._log)

    def reset(self) -> None:
        """Forget messages, opt-outs, outcomes, faults and requests."""
        self._store.sent.clear()
        self._store.stopped.clear()
        self._store.outcomes.clear()
        self._store.now = _clock
        self._faults.clear()
        self._log.clear()
