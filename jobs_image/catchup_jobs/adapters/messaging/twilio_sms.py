"""SMS by Twilio. Import this module only to send or look up a message: the client costs 0.6 s of CPU.

The HTTP status decides what an answer means. The error code is used only to distinguish an error of our account from
one of the recipient and from a limit, all of which are HTTP 400, to recognize an opt-out, and to tell Twilio's word
from a proxy's.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ssl import SSLCertVerificationError
from typing import TYPE_CHECKING, Any, Final, TypeVar

import requests
from twilio.base.exceptions import TwilioException, TwilioRestException, TwilioServiceException
from twilio.rest import Client
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError, ProxyError, SSLError

from catchup_jobs.adapters.messaging.twilio_http import BoundedHttp
from catchup_jobs.adapters.retry_after import retry_after_seconds
from catchup_jobs.domain.text import clean
from catchup_jobs.jobs.digest.provider_answers import Accepted, Ambiguous, Answer, NotSent, Refused, Unusable
from catchup_jobs.jobs.run.errors import MisconfiguredError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from catchup_jobs.jobs.digest.provider_answers import Message

T = TypeVar("T")

OPTED_OUT: Final = 21610
_SENDER_ERRORS: Final = frozenset(
    {
        *(21212, 21401, 21601, 21603, 21606, 21616, 21657, 21659, 21660, 21661),
        # The account (suspended, a trial) and the API as such (credentials, parameters): never a recipient.
        *range(10_000, 10_100),
        *range(20_000, 20_500),
        # A trial account may not send as this.
        *(21267, 21607, 572002),
        *(21701, 21702, 21703, 21704, 21705, 21707, 21712),
    }
)
"""Twilio's error codes that blame our account or its sender (number, short code, name or Messaging Service), not the
recipient. All are HTTP 400.
"""
_REACH_ERRORS: Final = frozenset({21408, 21608, 21612, 572005})
"""Twilio's error codes for a number that our account or sender may not write to: its country is not enabled, it is not
verified with a trial account, or its country takes no sender of this kind. Whoever owns the account can change that;
it may concern one recipient or everybody.
"""
_LIMITS: Final = frozenset({14107, 20429, 21611, 60728, 63017, 63038})
"""Twilio's error codes for too many messages: by the second, hour or day, or a sender's queue is full (21611)."""
_TOO_MANY: Final = frozenset({429})
# 404: there is no such account. 407: a proxy wants a login.
_OURS: Final = frozenset({401, 403, 404, 407})
# Twilio's error codes have five digits or more: https://www.twilio.com/docs/api/errors
_LEAST_CODE: Final = 10_000
# What `requests` raises for an address, or a proxy, that it cannot use.
_NOT_A_WAY: Final = (
    requests.exceptions.InvalidProxyURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
)
_SID: Final = re.compile("[A-Za-z0-9_-]{1,64}")
_SHOWN: Final = 40
# The final values of the status: https://www.twilio.com/docs/messaging/api/message-resource
_FAILED: Final = frozenset({"failed", "undelivered", "canceled"})
_FINAL: Final = frozenset({"delivered", "read", "received"}) | _FAILED
# Twilio's clock may be behind ours.
_CLOCK_MARGIN: Final = timedelta(minutes=2)
"""How far Twilio's clock may be behind ours when a message is looked up by its time."""
_LISTED: Final = 50
_MOST_PAGES: Final = 3
"""Pages of Twilio's list of messages that a message is looked for in."""


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
    """`jobs.digest.provider_answers.LookUpGateway` of Twilio."""

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
        self._http.forget()
        try:
            return _status(self._client.messages.create(to=message.to, body=message.content, **sender))
        except TwilioException as error:
            return self._answer(_code_of(error))
        except Exception as error:  # noqa: BLE001 - the boundary: whatever came, it is one of the answers
            return self._unanswered(error)

    def find(self, to: str, *, code: str, since: datetime) -> Accepted | Refused | None:
        """Return the status of the message to a number that holds a short code and was created at or after an instant.

        Raises:
            TemporaryError, MisconfiguredError: Twilio cannot be asked now.
        """
        pages = 0

        def among_listed() -> Accepted | Refused | None:
            nonlocal pages
            page = self._client.messages.page(to=to, page_size=_LISTED)
            while page is not None and pages < _MOST_PAGES:
                pages += 1
                for message in page:
                    if f"#{code}" in str(message.body or "") and not _is_older(message, since - _CLOCK_MARGIN):
                        return _status(message)
                page = page.next_page()
            return None

        try:
            return self._ask(among_listed)
        except _NotFoundError:
            if pages:
                raise TemporaryError("Twilio's list ends in a page that is not there") from None
            raise MisconfiguredError("Twilio knows no such account: check CATCHUP_TWILIO_ACCOUNT_SID") from None

    def fetch_status(self, provider_id: str) -> Accepted | Refused | None:
        """Return the status of a message, None if Twilio does not know it any more.

        Raises:
            TemporaryError, MisconfiguredError: Twilio cannot be asked now.
        """
        try:
            return self._ask(lambda: _status(self._client.messages(provider_id).fetch()))
        except _NotFoundError:
            return None

    def _ask(self, request: Callable[[], T]) -> T:
        self._http.forget()
        try:
            return request()
        except TwilioException as error:
            code = _code_of(error)
            # Without Twilio's code, whatever is on the way has no such page.
            if self._http.last_status == 404 and code is not None:  # noqa: PLR2004 - its name says no more
                raise _NotFoundError from None
            answer = self._answer(code)
        except Exception as error:  # noqa: BLE001 - the boundary, see `send`
            answer = self._unanswered(error)
        match answer:
            case Unusable(why):
                raise MisconfiguredError(why) from None
            case NotSent(why, wait_seconds):
                raise TemporaryError(why, wait_seconds=wait_seconds) from None
            case _:
                raise TemporaryError(f"Twilio cannot say now (HTTP {self._http.last_status})") from None

    def _answer(self, code: int | None) -> Answer:
        """Return what an answer other than 2xx means; `code` is Twilio's, None where the answer is not Twilio's."""
        status = self._http.last_status
        detail, shown = f"HTTP {status}, code {code}", str(code or status)
        if status in _TOO_MANY or code in _LIMITS:
            return NotSent(f"Twilio takes no more messages for a while ({detail})", self._wait())
        does_not_reach = code in _REACH_ERRORS
        if does_not_reach or status in _OURS or code in _SENDER_ERRORS:
            what = "does not reach this number for" if does_not_reach else "refused"
            check = "countries, trial and sender" if does_not_reach else "token and sender in CATCHUP_TWILIO_*"
            why = f"Twilio {what} this installation ({detail}): check account, {check}"
            return Unusable(why, shown, perhaps_recipient=does_not_reach)
        if 400 <= status < 500:  # noqa: PLR2004 - HTTP's classes
            if code is None:
                return NotSent(f"a server on the way to Twilio refuses ({detail})", self._wait())
            return Refused(shown, opted_out=code == OPTED_OUT)
        if 300 <= status < 400:  # noqa: PLR2004
            return Unusable(f"Twilio's address redirects ({detail}): check CATCHUP_TWILIO_API_BASE_URL", shown)
        return Ambiguous(f"Twilio failed ({detail})")

    def _unanswered(self, error: Exception) -> Answer:
        """Return what it means that no answer came, or none that can be read."""
        if not self._http.was_asked:
            return Unusable(f"Twilio cannot be asked ({type(error).__name__}): check CATCHUP_TWILIO_*")
        cause: Any = error.args[0] if isinstance(error, requests.RequestException) and error.args else None
        if isinstance(error, _NOT_A_WAY):
            return Unusable(f"Twilio cannot be asked ({type(error).__name__}): check HTTPS_PROXY, CATCHUP_TWILIO_*")
        if isinstance(cause, MaxRetryError):
            cause = cause.reason
        if isinstance(cause, SSLError) and any(isinstance(reason, SSLCertVerificationError) for reason in cause.args):
            return Unusable("Twilio's certificate cannot be verified: check CATCHUP_TWILIO_API_BASE_URL, and any proxy")
        # Without a connection nothing was sent. Any other error may have come after the request was written.
        if isinstance(cause, NewConnectionError | ConnectTimeoutError | ProxyError):
            return NotSent(f"Twilio cannot be reached ({type(cause).__name__})")
        return Ambiguous(f"no answer from Twilio that can be read ({type(error).__name__})")

    def _wait(self) -> float | None:
        return retry_after_seconds(self._http.last_headers.get("Retry-After"), now=self._now())


class _NotFoundError(Exception):
    pass


def _code_of(error: TwilioException) -> int | None:
    """Return Twilio's code of an error; None where there is none, as in what a proxy answers."""
    if isinstance(error, TwilioRestException | TwilioServiceException):
        code = error.code
    else:
        # The errors of a list have the response as their second argument.
        try:
            code = json.loads(error.args[1].text)["code"]
        except Exception:  # noqa: BLE001 - whatever it is, it is not Twilio's code
            return None
    # The client gives the HTTP status where there is no code.
    return code if isinstance(code, int) and code >= _LEAST_CODE else None


def _is_older(message: Any, instant: datetime) -> bool:
    created = message.date_created
    return isinstance(created, datetime) and created < instant


def _status(message: Any) -> Accepted | Refused:
    """Return a message's status. Raises ValueError: it is not a message."""
    sid, status, code = message.sid, message.status, message.error_code
    if not isinstance(sid, str) or not _SID.fullmatch(sid) or not isinstance(status, str) or not status:
        raise ValueError("not a message")
    if status in _FAILED:
        return Refused(clean(str(code or status), _SHOWN), opted_out=code == OPTED_OUT)
    return Accepted(sid, clean(status, _SHOWN), final=status in _FINAL)
