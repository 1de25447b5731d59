"""SMS by Twilio. Import this module only to send or look up a message: the client costs 0.6 s of CPU.

The HTTP status decides what an answer means. The error code is used only to distinguish an error of our sender from one
of the recipient, both of which are HTTP 400, and to recognize an opt-out.
"""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

import requests
from twilio.base.exceptions import TwilioException, TwilioRestException, TwilioServiceException
from twilio.rest import Client
from urllib3.exceptions import ConnectTimeoutError, HTTPError, MaxRetryError, NewConnectionError, ProxyError, SSLError

from catchup_jobs.adapters.messaging.twilio_http import BoundedHttp, UnreadableAnswerError
from catchup_jobs.jobs.digest.ports import Accepted, Ambiguous, Answer, NotSent, Refused, Unusable
from catchup_jobs.jobs.run.errors import MisconfiguredError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from catchup_jobs.jobs.digest.ports import Message

OPTED_OUT: Final = 21610
# Errors of our sender (number, short code or Messaging Service), not of the recipient. All are HTTP 400.
_SENDER_ERRORS: Final = frozenset(
    {21212, 21603, 21606, 21659, 21660, 21661, 21701, 21702, 21703, 21704, 21705, 21707, 21712}
)
_TOO_MANY: Final = frozenset({429})
# 404: there is no such account.
_OURS: Final = frozenset({401, 403, 404})
# The final values of the status: https://www.twilio.com/docs/messaging/api/message-resource
_FAILED: Final = frozenset({"failed", "undelivered", "canceled"})
_FINAL: Final = frozenset({"delivered", "read", "received"}) | _FAILED
# Twilio's clock may be behind ours.
_CLOCK_MARGIN: Final = timedelta(minutes=2)
_LISTED: Final = 50
_MOST_WAIT_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class TwilioAccount:
    """The account that sends.

    Attributes:
        sender: an E.164 number, a short code or a sender id; None if a Messaging Service chooses it.
        base_url: replaces Twilio's own, for tests and emulators.
    """

    sid: str
    token: str = field(repr=False)
    sender: str | None = None
    messaging_service_sid: str | None = None
    base_url: str | None = None


class TwilioSms:
    """`jobs.digest.ports.LookUpGateway` of Twilio."""

    def __init__(self, account: TwilioAccount, *, now: Callable[[], datetime], http: BoundedHttp | None = None) -> None:
        self._account = account
        self._now = now
        self._http = http or BoundedHttp(account.base_url)
        self._client = Client(account.sid, account.token, http_client=self._http)

    def send(self, message: Message[str]) -> Answer:
        """Send one message."""
        sender: dict[str, str] = {}
        if self._account.messaging_service_sid is not None:
            sender["messaging_service_sid"] = self._account.messaging_service_sid
        if self._account.sender is not None:
            sender["from_"] = self._account.sender
        try:
            return _status(self._client.messages.create(to=message.to, body=message.content, **sender))
        except TwilioException as error:
            return self._answer(*_status_and_code(error))
        except requests.RequestException as error:
            return _unanswered(error)
        except (HTTPError, OSError, ValueError, KeyError, TypeError, UnreadableAnswerError) as error:
            # An answer of 2xx that cannot be read: the message may have been sent.
            return Ambiguous(f"Twilio's answer is not readable ({type(error).__name__})")

    def find(self, to: str, *, code: str, since: datetime) -> Accepted | Refused | None:
        """Return the status of the message to a number that holds a short code and was created at or after an instant.

        Raises:
            TemporaryError, MisconfiguredError: Twilio cannot be asked now.
        """
        try:
            listed = self._ask(lambda: self._client.messages.list(to=to, limit=_LISTED, page_size=_LISTED))
        except _NotFoundError:
            raise MisconfiguredError("Twilio knows no such account: check CATCHUP_TWILIO_ACCOUNT_SID") from None
        for message in listed:
            created = message.date_created
            if created is not None and created < since - _CLOCK_MARGIN:
                continue
            if f"#{code}" in (message.body or ""):
                return _status(message)
        return None

    def fetch_status(self, provider_id: str) -> Accepted | Refused | None:
        """Return the status of a message, None if Twilio does not know it any more.

        Raises:
            TemporaryError, MisconfiguredError: Twilio cannot be asked now.
        """
        try:
            return _status(self._ask(lambda: self._client.messages(provider_id).fetch()))
        except _NotFoundError:
            return None

    def _ask(self, request: Callable[[], Any]) -> Any:
        try:
            return request()
        except TwilioException as error:
            status, code = _status_and_code(error)
            if status == 404:  # noqa: PLR2004 - its name says no more
                raise _NotFoundError from None
            match self._answer(status, code):
                case Unusable(why):
                    raise MisconfiguredError(why) from None
                case NotSent(why, wait_seconds):
                    raise TemporaryError(why, wait_seconds=wait_seconds) from None
                case _:
                    raise TemporaryError(f"Twilio cannot say now (HTTP {status})") from None
        except (requests.RequestException, HTTPError, OSError, ValueError, KeyError, TypeError) as error:
            raise TemporaryError(f"Twilio cannot be asked ({type(error).__name__})") from None
        except UnreadableAnswerError as error:
            raise TemporaryError(f"Twilio's answer is {error}") from None

    def _answer(self, status: int, code: int | None) -> Answer:
        detail = f"HTTP {status}, code {code}"
        if status in _TOO_MANY:
            return NotSent(f"Twilio has too many requests ({detail})", self._wait())
        if status in _OURS or code in _SENDER_ERRORS:
            return Unusable(
                f"Twilio refused this installation ({detail}): check account, token and sender in CATCHUP_TWILIO_*",
                str(code),
            )
        if 400 <= status < 500:  # noqa: PLR2004 - HTTP's classes
            return Refused(str(code), opted_out=code == OPTED_OUT)
        if 300 <= status < 400:  # noqa: PLR2004
            return Unusable(f"Twilio's address redirects ({detail}): check CATCHUP_TWILIO_API_BASE_URL", str(code))
        return Ambiguous(f"Twilio failed ({detail})")

    def _wait(self) -> float | None:
        """Return the wait in `Retry-After` (seconds or a date), at most an hour; None if there is none."""
        text = self._http.last_headers.get("Retry-After")
        if text is None:
            return None
        try:
            seconds = float(text) if text.strip().isdigit() else self._until(text)
        except (ValueError, TypeError):
            return None
        return min(max(seconds, 0.0), _MOST_WAIT_SECONDS)

    def _until(self, text: str) -> float:
        when = parsedate_to_datetime(text)
        return ((when if when.tzinfo else when.replace(tzinfo=UTC)) - self._now()).total_seconds()


class _NotFoundError(Exception):
    pass


def _status_and_code(error: TwilioException) -> tuple[int, int | None]:
    """Return the HTTP status and Twilio's code of an error; 0 where there was no answer that the client understood."""
    if isinstance(error, TwilioRestException | TwilioServiceException):
        return error.status, error.code
    # The errors of a list have the response as their second argument.
    response = error.args[1] if len(error.args) > 1 else None
    status = getattr(response, "status_code", 0)
    try:
        return status, json.loads(response.text)["code"] if response is not None else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return status, None


def _status(message: Any) -> Accepted | Refused:
    if not message.sid or not message.status:
        raise ValueError("not a message")
    status = str(message.status)
    if status in _FAILED:
        code = int(message.error_code) if message.error_code else 0
        return Refused(str(code or status), opted_out=code == OPTED_OUT)
    return Accepted(message.sid, status, final=status in _FINAL)


def _unanswered(error: requests.RequestException) -> Answer:
    cause: Any = error.args[0] if error.args else None
    if isinstance(cause, MaxRetryError):
        cause = cause.reason
    if isinstance(cause, SSLError) and any(isinstance(reason, ssl.SSLCertVerificationError) for reason in cause.args):
        return Unusable("Twilio's certificate cannot be verified: check CATCHUP_TWILIO_API_BASE_URL, and any proxy")
    # Without a connection nothing was sent. Any other error may have come after the request was written.
    if isinstance(cause, NewConnectionError | ConnectTimeoutError | ProxyError):
        return NotSent(f"Twilio cannot be reached ({type(cause).__name__})")
    return Ambiguous(f"no answer from Twilio ({type(error).__name__})")
