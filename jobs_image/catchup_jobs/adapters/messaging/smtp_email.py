"""Email by SMTP. The meaning of a failure depends on the stage of the session.

Until the server has received the whole message, the message was not sent. After that only the server's reply decides:
without a reply the message may have been sent.
"""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from catchup_jobs.adapters.messaging.email_message import compose
from catchup_jobs.adapters.messaging.smtp_login import log_in
from catchup_jobs.adapters.messaging.smtp_replies import PERMANENT, Stage, meaning
from catchup_jobs.domain.digest.addresses import Mailbox, is_email
from catchup_jobs.jobs.digest.provider_answers import Accepted, Ambiguous, Answer, NotSent, Refused, Unusable
from catchup_jobs.jobs.run.errors import MisconfiguredError
from catchup_jobs.jobs.run.spans import smtp_span

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from catchup_jobs.domain.digest.email_text import EmailDigest
    from catchup_jobs.jobs.digest.provider_answers import Message

Security = Literal["starttls", "tls", "none"]

TIMEOUT_SECONDS: Final = 20.0
"""The longest silence of the mail server."""
CONVERSATION_SECONDS: Final = 60.0
"""The longest session with the mail server, shorter than the lease of a claim."""
_LEAST_SECONDS: Final = 1.0
DEFAULT_PORTS: Final[dict[Security, int]] = {"starttls": 587, "tls": 465, "none": 25}

# RFC 3463, X.1.3: bad destination mailbox address syntax.
_BAD_SYNTAX: Final = "5.1.3"
_OK: Final = 250
# RFC 5321, 4.2.1: the first digit decides, also of a code that is not known.
_DONE: Final = range(200, 300)
_GO_AHEAD: Final = range(300, 400)
_REFUSALS: Final = range(400, 600)


@dataclass(frozen=True, slots=True)
class MailServer:
    """The mail server, and who sends.

    Attributes:
        sender: the From address, alone or as `Name <address>`.
        security: `starttls` and `tls` verify the certificate; only `none` sends without encryption.
        ca_file: a PEM file of authorities to trust instead of the system's.
    """

    host: str
    port: int
    sender: str
    security: Security = "starttls"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None


class _Stop(Exception):  # noqa: N818 - not an error: it ends the session with an answer
    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class _Bounded:
    """An SMTP client that closes the connection when the whole session takes too long, from the greeting on."""

    sock: socket.socket | None

    def __init__(self, *arguments: Any, seconds: float, **named: Any) -> None:
        self._over = threading.Event()
        threading.Thread(target=self._watch, args=(seconds,), name="smtp-watch", daemon=True).start()
        try:
            # Python's clients connect and read the greeting in their constructor.
            super().__init__(*arguments, **named)
        except BaseException:
            self._over.set()
            raise

    def close(self) -> None:
        self._over.set()
        super().close()  # type: ignore[misc]

    def _watch(self, seconds: float) -> None:
        while not self._over.wait(seconds):
            with suppress(OSError, AttributeError):
                self.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
            # There is no socket yet while the client tries the host's next address.
            seconds = 1.0


class _Client(_Bounded, smtplib.SMTP):
    pass


class _TlsClient(_Bounded, smtplib.SMTP_SSL):
    pass


class SmtpEmail:
    """`jobs.digest.provider_answers.Gateway` by SMTP, with one connection per message."""

    def __init__(
        self,
        server: MailServer,
        *,
        now: Callable[[], datetime],
        timeout: float = TIMEOUT_SECONDS,
        conversation: float = CONVERSATION_SECONDS,
        seconds_left: Callable[[], float] = lambda: inf,
    ) -> None:
        """Take the server and the limits.

        Args:
            timeout: of a silence.
            conversation: of the whole session.
            seconds_left: returns how long a session may last now, at most `conversation`.

        Raises:
            MisconfiguredError: its sender is not an address.
        """
        try:
            self._sender = Mailbox.parse(server.sender)
        except ValueError:
            raise MisconfiguredError("CATCHUP_SMTP_FROM is not an email address") from None
        self._server = server
        self._now = now
        self._timeout = timeout
        self._conversation, self._seconds_left = conversation, seconds_left

    def send(self, message: Message[EmailDigest]) -> Answer:
        """Send one message."""
        if not is_email(message.to):
            return Refused(_BAD_SYNTAX)
        try:
            email = compose(message, sender=self._sender, now=self._now())
            content = email.as_bytes()
        except Exception as error:  # noqa: BLE001 - whatever it is: nothing was sent
            return NotSent(f"the message cannot be written ({type(error).__name__})")
        with smtp_span(self._server.host, self._server.port) as traced:
            answer = self._deliver(message.to, content, email["Message-ID"])
            if not isinstance(answer, Accepted):
                traced.fail(type(answer).__name__)
        return answer

    def _deliver(self, to: str, content: bytes, message_id: str) -> Answer:
        try:
            with self._connected() as smtp:
                self._open_session(smtp)
                self._envelope(smtp, to)
                return self._content(smtp, content, message_id)
        except _Stop as stop:
            return stop.answer
        except (OSError, smtplib.SMTPException, ValueError) as error:
            return _unsent(error)

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        server = self._server
        # The default would be this machine's name, and a pod's name holds its user's id.
        local_hostname = self._sender.domain
        seconds = max(min(self._conversation, self._seconds_left()), _LEAST_SECONDS)
        named = {"seconds": seconds, "timeout": min(self._timeout, seconds)}
        if server.security == "tls":
            smtp: smtplib.SMTP = _TlsClient(server.host, server.port, local_hostname, context=self._context(), **named)
        else:
            smtp = _Client(server.host, server.port, local_hostname, **named)
        try:
            yield smtp
        except _Stop:
            _say_goodbye(smtp)
            raise
        else:
            _say_goodbye(smtp)
        finally:
            smtp.close()

    def _open_session(self, smtp: smtplib.SMTP) -> None:
        server = self._server
        self._greet(smtp)
        if server.security == "starttls":
            if not smtp.has_extn("starttls"):
                raise _Stop(
                    Unusable(
                        "the mail server offers no STARTTLS, and nothing is sent in the clear: check CATCHUP_SMTP_HOST"
                        " and CATCHUP_SMTP_PORT, or set CATCHUP_SMTP_SECURITY"
                    )
                )
            try:
                smtp.starttls(context=self._context())
            except smtplib.SMTPResponseException as error:
                raise _Stop(meaning(error.smtp_code, _bytes(error.smtp_error), Stage.TLS)) from None
            self._greet(smtp)
        if server.username is not None:
            refusal = log_in(smtp, server.username, server.password or "")
            if refusal is not None:
                raise _Stop(refusal)

    @staticmethod
    def _greet(smtp: smtplib.SMTP) -> None:
        # Python's own method falls back to HELO, after which no server offers STARTTLS or a login.
        code, _ = smtp.ehlo()
        if code >= PERMANENT:
            raise _Stop(Unusable(f"the mail server does not speak ESMTP (SMTP {code}): check CATCHUP_SMTP_HOST"))
        if code != _OK:
            raise _Stop(NotSent(f"the mail server accepts no session now (SMTP {code})"))

    def _envelope(self, smtp: smtplib.SMTP, to: str) -> None:
        _expect(smtp.mail(self._sender.address), _DONE, Stage.SENDER)
        _expect(smtp.rcpt(to), _DONE, Stage.RECIPIENT)

    @staticmethod
    def _content(smtp: smtplib.SMTP, content: bytes, message_id: str) -> Answer:
        _expect(smtp.docmd("DATA"), _GO_AHEAD, Stage.CONTENT)
        try:
            # RFC 5321, 4.5.2: a line that begins with a dot gets another one.
            smtp.send(_dots_doubled(content) + b".\r\n")
            reply = smtp.getreply()
        except (OSError, smtplib.SMTPException) as error:
            return Ambiguous(f"the mail server did not answer to the message ({type(error).__name__})")
        if reply[0] not in _DONE and reply[0] not in _REFUSALS:
            # It may be the beginning of one, such as `250`.
            return Ambiguous("the mail server's answer to the message is not one of SMTP")
        _expect(reply, _DONE, Stage.CONTENT)
        return Accepted(provider_id=message_id, status="accepted", final=True)

    def _context(self) -> ssl.SSLContext:
        try:
            ca_file = self._server.ca_file
            return _context_of(ca_file, None if ca_file is None else Path(ca_file).stat().st_mtime_ns)
        except OSError:
            raise _Stop(Unusable("CATCHUP_SMTP_CA_FILE cannot be read, or holds no certificate")) from None


@lru_cache(maxsize=1)
def _context_of(ca_file: str | None, _changed_at: int | None) -> ssl.SSLContext:
    # Once for a process, or until the file changes: to load the system's authorities costs more than a session.
    return ssl.create_default_context(cafile=ca_file)


def _expect(reply: tuple[int, bytes], accepted: Collection[int], stage: Stage) -> None:
    if reply[0] not in accepted:
        raise _Stop(meaning(*reply, stage))


def _unsent(error: Exception) -> Answer:
    """Return what an error means that ended a session before the message was handed over."""
    match error:
        case ssl.SSLCertVerificationError():
            return Unusable(
                "the mail server's certificate cannot be verified: check CATCHUP_SMTP_HOST, or name its authority in"
                " CATCHUP_SMTP_CA_FILE"
            )
        case ssl.SSLError() if not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return Unusable(
                "TLS cannot be agreed on with the mail server: check that CATCHUP_SMTP_SECURITY fits CATCHUP_SMTP_PORT"
                " (as a rule, tls is on 465 and starttls on 587)"
            )
        case smtplib.SMTPConnectError():
            # The server's greeting is another one than 220.
            return meaning(error.smtp_code, _bytes(error.smtp_error), Stage.GREETING)
        case smtplib.SMTPServerDisconnected():
            return NotSent("the mail server closed the connection, or did not answer in time")
        case _:
            return NotSent(f"the mail server cannot be used ({type(error).__name__})")


def _bytes(text: bytes | str) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _dots_doubled(content: bytes) -> bytes:
    return content.replace(b"\r\n.", b"\r\n..")


def _say_goodbye(smtp: smtplib.SMTP) -> None:
    with suppress(OSError, smtplib.SMTPException):
        smtp.quit()
