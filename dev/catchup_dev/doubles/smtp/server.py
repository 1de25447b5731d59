"""The double's servers: SMTP on a loop in a thread, and the control API over HTTP."""

# ruff: noqa: N802 - aiosmtpd names its methods after SMTP's commands

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from catchup_dev.doubles.command import run_command
from catchup_dev.doubles.smtp import certificate
from catchup_dev.doubles.smtp.control import USERNAME, Control, Fault, Received

if TYPE_CHECKING:
    from collections.abc import Iterator

# Its log of conversations is for debugging aiosmtpd.
logging.getLogger("mail.log").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class SmtpDouble:
    """A running double.

    Attributes:
        ca_file: the value of `CATCHUP_SMTP_CA_FILE`.
    """

    port: int
    control: Control
    control_url: str
    ca_file: Path


@contextmanager
def running(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    control_port: int = 0,
    outbox: Path | None = None,
    names: tuple[str, ...] = (),
    tls: bool = False,
) -> Iterator[SmtpDouble]:
    """Serve in threads of this process until the block ends; port 0 picks a free one.

    Args:
        names: host names that the certificate is for, beside `localhost` and 127.0.0.1.
        tls: speak TLS from the first byte, instead of STARTTLS.
    """
    control = Control(outbox)
    with tempfile.TemporaryDirectory(prefix="smtp-double-") as directory:
        crt, key = certificate.make(Path(directory), ["localhost", "127.0.0.1", *names])
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(crt, key)
        with (
            _smtp(control, host, port, context, tls=tls) as smtp_port,
            _control_api(control, host, control_port) as control_url,
        ):
            yield SmtpDouble(smtp_port, control, control_url, crt)


class _Smtp(SMTP):
    """aiosmtpd's server, with a script between it and the client."""

    def __init__(self, control: Control, context: ssl.SSLContext, *, tls: bool) -> None:
        self.script = control
        self.drip = 0.0
        offered = control._setting("starttls") and not tls
        super().__init__(
            _Mailbox(),
            hostname="smtp.double",
            tls_context=context if offered else None,
            authenticator=self._authenticate_user,
            auth_required=control._setting("auth") and offered,
            auth_require_tls=not tls,
            loop=asyncio.get_running_loop(),
        )

    @property
    def connection(self) -> asyncio.Transport:
        """The client's connection."""
        return cast("asyncio.Transport", self.transport)

    def is_encrypted(self) -> bool:
        """Whether TLS is spoken, from the first byte or since STARTTLS."""
        return self.connection.get_extra_info("ssl_object") is not None

    async def _scripted(self, stage: str) -> bool:
        """Return whether the script answered instead of the server."""
        fault = self.script._reach(stage)
        if fault is None:
            return False
        if fault.delay:
            await asyncio.sleep(fault.delay)
        return await self._answered(fault)

    async def push(self, status: Any) -> None:
        """Send an answer, slowly if the script says so."""
        drip, self.drip = self.drip, 0.0
        if drip:
            try:
                for character in str(status):
                    self._writer.write(character.encode())
                    await asyncio.sleep(drip)
            except asyncio.CancelledError:
                # The client hung up.
                self.connection.abort()
                raise
            status = ""
        await super().push(status)

    async def _answered(self, fault: Fault) -> bool:
        self.drip = fault.drip
        if fault.drop:
            self.connection.abort()
            return True
        if fault.reply is not None:
            await self.push(fault.reply)
            return True
        return False

    async def _handle_client(self) -> None:
        # After STARTTLS it is called again.
        if not self.is_encrypted() and await self._scripted("connect"):
            self.connection.close()
            return
        await super()._handle_client()

    async def smtp_EHLO(self, hostname: str) -> None:
        if not await self._scripted("ehlo"):
            await super().smtp_EHLO(hostname)

    async def smtp_STARTTLS(self, arg: str) -> None:
        if not await self._scripted("starttls"):
            await super().smtp_STARTTLS(arg)

    async def smtp_AUTH(self, arg: str) -> None:
        if not await self._scripted("auth"):
            await super().smtp_AUTH(arg)

    async def smtp_MAIL(self, arg: str | None) -> None:
        if not await self._scripted("mail"):
            await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str | None) -> None:
        if not await self._scripted("rcpt"):
            await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg: str) -> None:
        if not await self._scripted("data"):
            await super().smtp_DATA(arg)

    @staticmethod
    def _authenticate_user(server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        good = isinstance(data, LoginPassword) and data == (USERNAME.encode(), server.script.password.encode())
        return AuthResult(success=good, handled=good, auth_data=data)


class _Mailbox:
    async def handle_DATA(self, server: _Smtp, session: Any, envelope: Any) -> str:
        """Keep the message, unless the script says otherwise."""
        control = server.script
        fault = control._reach("message")
        if fault is not None and fault.delay:
            await asyncio.sleep(fault.delay)
        server.drip = fault.drip if fault is not None else 0.0
        if fault is None or fault.accept_then_drop or not (fault.drop or fault.reply):
            login = session.auth_data.login.decode() if isinstance(session.auth_data, LoginPassword) else None
            content: bytes = envelope.original_content
            encrypted = server.is_encrypted()
            control._keep(Received(envelope.mail_from, envelope.rcpt_tos, content, encrypted, login))
        if fault is not None and (fault.drop or fault.accept_then_drop):
            server.connection.abort()
        return fault.reply if fault is not None and fault.reply else "250 OK"


@contextmanager
def _smtp(control: Control, host: str, port: int, context: ssl.SSLContext, *, tls: bool) -> Iterator[int]:
    loop = asyncio.new_event_loop()

    async def start() -> asyncio.Server:
        return await loop.create_server(
            lambda: _Smtp(control, context, tls=tls), host, port, ssl=context if tls else None
        )

    async def end(server: asyncio.Server) -> None:
        server.close()
        for task in asyncio.all_tasks(loop) - {asyncio.current_task(loop)}:
            task.cancel()
        await loop.shutdown_asyncgens()

    thread = threading.Thread(target=loop.run_forever, name="smtp-double", daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(end(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def _control_api(control: Control, host: str, port: int) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
            """Keep the terminal quiet."""

        def do_GET(self) -> None:
            """Say that it runs."""
            self._send(200, b'{"status": "ok"}')

        def do_POST(self) -> None:
            """Run a command."""
            status, document = run_command(control, self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            self._send(status, json.dumps(document).encode())

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer((host, port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="smtp-control", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
