"""A TLS proxy to the API server that injects faults by verb and resource, and counts those that fired.

It uses the API server's own certificate, so that clients see no difference but the port. It runs in a thread with an
event loop of its own; the test's thread controls it.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

Kind = Literal[
    "status", "drop", "lost reply", "delay", "duplicate", "cut", "freeze", "expire", "error", "swallow", "deaf"
]
_HOP_HEADERS: Final = {"host", "connection", "transfer-encoding", "content-length", "content-encoding"}
_CHUNK: Final = 65536


@dataclass
class Fault:
    """A fault of requests with a verb and a resource.

    Attributes:
        kind: `status` answers with `code`; `drop` closes the connection before the server sees the request; `lost
            reply` after it; `duplicate` sends it twice; `cut` ends the reply after `after_bytes`; `freeze` makes the
            reply hang; `error` ends a watch with an ERROR event of `code`, `expire` with one of 410; `swallow`
            drops the first events of a watch, `deaf` all of them; `delay` waits `seconds` first.
        verb: an HTTP method, or WATCH.
        resource: a plural, e.g. `userschedules/status`; for discovery the path, e.g. `/apis`.
        times: how often it fires; later requests are served.
        spare: how many requests are served before it fires.
        fired: how often it has fired.
    """

    kind: Kind
    verb: str
    resource: str
    times: int = 1
    spare: int = 0
    code: int = 500
    seconds: float = 0.0
    after_bytes: int = 20
    fired: int = 0


@dataclass
class ApiProxy:
    """The proxy, which listens at `url`. `faults` may change at any time; `on_fired` is called for each that fires."""

    upstream: str
    certificate: Path
    key: Path
    faults: list[Fault] = field(default_factory=list)
    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    down: bool = False
    on_fired: Callable[[Fault], None] = lambda _: None
    url: str = ""

    def add(self, *faults: Fault) -> None:
        """Inject these faults from now on."""
        self.faults.extend(faults)

    def all_fired(self) -> bool:
        """Whether every fault has fired as often as it should."""
        return all(fault.fired >= fault.times for fault in self.faults)

    def kubeconfig(self, original: Path, target: Path) -> Path:
        """Write a copy of a kubeconfig that connects through the proxy."""
        target.touch(mode=0o600)
        target.write_text(original.read_text().replace(self.upstream, self.url))
        assert self.url in target.read_text()
        return target

    @contextmanager
    def running(self) -> Iterator[ApiProxy]:
        """Serve within the block."""
        started, stop = threading.Event(), asyncio.Event()
        loop = asyncio.new_event_loop()
        errors: list[BaseException] = []

        def serve() -> None:
            try:
                loop.run_until_complete(self._serve(started, stop))
            except BaseException as error:  # noqa: BLE001 - raised in the test's thread
                errors.append(error)
                started.set()
            finally:
                # Watches that clients still hold open.
                pending = asyncio.all_tasks(loop)
                for task in pending:
                    task.cancel()
                if pending:
                    loop.run_until_complete(asyncio.wait(pending))
                loop.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        started.wait(10)
        if errors:
            raise errors[0]
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(10)

    async def _serve(self, started: threading.Event, stop: asyncio.Event) -> None:
        inward = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        inward.load_cert_chain(self.certificate, self.key)
        connector = aiohttp.TCPConnector(
            ssl=False, limit=0
        )  # to the server on loopback, whose certificate the proxy uses
        async with aiohttp.ClientSession(
            connector=connector, auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None)
        ) as session:

            async def handle(request: web.Request) -> web.StreamResponse:
                return await self._handle(request, session)

            app = web.Application(client_max_size=8 * 2**20)
            app.router.add_route("*", "/{path:.*}", handle)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=inward)
            await site.start()
            self.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
            started.set()
            await stop.wait()
            await runner.cleanup()

    async def _handle(self, request: web.Request, session: aiohttp.ClientSession) -> web.StreamResponse:
        verb, resource = _what(request)
        self.requests[verb, resource] += 1
        if self.down:
            return _hang_up(request)
        fault = self._next(verb, resource)
        match fault.kind if fault else None:
            case "status":
                assert fault
                return _status(fault.code)
            case "drop":
                return _hang_up(request)
            case "delay":
                assert fault
                await asyncio.sleep(fault.seconds)
            case "duplicate":
                await self._forward(request, session, discard=True)
            case "lost reply":
                await self._forward(request, session, discard=True)
                return _hang_up(request)
        return await self._forward(request, session, fault=fault)

    def _next(self, verb: str, resource: str) -> Fault | None:
        for fault in self.faults:
            if fault.fired < fault.times and (fault.verb, fault.resource) == (verb, resource):
                if fault.spare:
                    fault.spare -= 1
                    continue
                fault.fired += 1
                self.on_fired(fault)
                return fault
        return None

    async def _forward(
        self, request: web.Request, session: aiohttp.ClientSession, *, fault: Fault | None = None, discard: bool = False
    ) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_HEADERS}
        async with session.request(
            request.method, self.upstream + request.raw_path, headers=headers, data=await request.read() or None
        ) as reply:
            if discard:
                await reply.read()
                return web.Response()
            kept = {name: value for name, value in reply.headers.items() if name.lower() not in _HOP_HEADERS}
            if encoding := reply.headers.get("Content-Encoding"):
                kept["Content-Encoding"] = encoding
            response = web.StreamResponse(status=reply.status, headers=kept)
            await response.prepare(request)
            kind = fault.kind if fault else None
            if fault and kind in {"expire", "error"}:
                told = {"kind": "Status", "code": 410 if kind == "expire" else fault.code, "message": "on purpose"}
                # As the server writes it.
                event = json.dumps({"type": "ERROR", "object": told}, separators=(",", ":"))
                await response.write(event.encode() + b"\n")
                return response
            sent = 0
            async for chunk in reply.content.iter_any():
                if self.down:
                    return _hang_up(request)
                if kind == "freeze":
                    await asyncio.sleep(3600)
                if kind in {"swallow", "deaf"} and b'"type":"BOOKMARK"' not in chunk:
                    kind = None if kind == "swallow" else kind
                    continue
                if kind == "cut":
                    assert fault
                    with suppress(ConnectionError):
                        await response.write(chunk[: fault.after_bytes])
                    return _hang_up(request)
                sent += len(chunk)
                with suppress(ConnectionError):
                    await response.write(chunk)
            with suppress(ConnectionError):
                await response.write_eof()
            return response


def _what(request: web.Request) -> tuple[str, str]:
    """The verb and the resource of a request, e.g. PATCH userschedules/status."""
    path = urlsplit(request.raw_path).path
    parts = path.strip("/").split("/")
    skipped = parts.index("namespaces") + 2 if "namespaces" in parts else 3 if parts[0] == "apis" else 2
    parts = parts[skipped:]
    resource = "/".join([parts[0], *parts[2:]]) if parts else path
    return "WATCH" if request.query.get("watch") else request.method, resource


def _status(code: int) -> web.Response:
    reasons: dict[int, str] = {409: "Conflict", 410: "Expired", 429: "TooManyRequests", 500: "InternalError"}
    body: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}
    body |= {"reason": reasons.get(code, "Unknown"), "message": f"a fault of the proxy: {code}"}
    headers = {"Retry-After": "1"} if code == 429 else {}
    return web.json_response(body, status=code, headers=headers)


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
