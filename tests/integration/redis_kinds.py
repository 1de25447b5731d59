"""Redis as installations have it: with TLS by a private authority, with ACL users, behind Sentinel, as a cluster."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import redis
from integration.services import RedisServer, find_program, free_port, listens, redis_server, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICE = "mymaster"


@dataclass(frozen=True)
class Authority:
    """A private authority and a certificate of its own for `localhost`."""

    ca: Path
    certificate: Path
    key: Path

    @classmethod
    def make(cls, directory: Path) -> Authority:
        """Make both with openssl."""
        ca, key = directory / "ca.pem", directory / "server.key"
        request, certificate, names = directory / "server.csr", directory / "server.pem", directory / "names"
        names.write_text("subjectAltName=DNS:localhost\n", encoding="utf-8")
        new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        ca_key = str(directory / "ca.key")
        _openssl("req", "-x509", *new_key, "-keyout", ca_key, "-out", str(ca), "-subj", "/CN=private", "-days", "2")
        _openssl("req", *new_key, "-keyout", str(key), "-out", str(request), "-subj", "/CN=localhost")
        _openssl(
            *("x509", "-req", "-in", str(request), "-CA", str(ca), "-CAkey", ca_key, "-CAcreateserial", "-days", "2"),
            *("-extfile", str(names), "-out", str(certificate)),
        )
        return cls(ca, certificate, key)


def _openssl(*arguments: str) -> None:
    subprocess.run([find_program("openssl", "usr/bin"), *arguments], check=True, capture_output=True)


@contextmanager
def tls_redis(authority: Authority, *, client_certificates: bool = False) -> Iterator[RedisServer]:
    """Run a Redis that speaks TLS only."""
    port = free_port()
    server = RedisServer(
        port=port,
        options=(
            *("--port", "0", "--tls-port", str(port), "--tls-auth-clients", "yes" if client_certificates else "no"),
            *("--tls-cert-file", str(authority.certificate), "--tls-key-file", str(authority.key)),
            *("--tls-ca-cert-file", str(authority.ca)),
        ),
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()


@dataclass(frozen=True)
class Watched:
    """A primary and its replica, watched by Sentinels."""

    sentinels: tuple[int, ...]
    primary: RedisServer
    replica: RedisServer

    @property
    def addresses(self) -> str:
        """The Sentinels, as a URL names them."""
        return ",".join(f"127.0.0.1:{port}" for port in self.sentinels)


@contextmanager
def watched_redis(directory: Path, *, password: str, sentinel_password: str, sentinels: int = 3) -> Iterator[Watched]:
    """Run a primary, a replica and Sentinels."""
    with redis_server(password) as primary:
        follow = ("--replicaof", f"127.0.0.1 {primary.port}", "--masterauth", password)
        with redis_server(password, *follow) as replica:
            admin = redis.Redis(port=primary.port, password=password, decode_responses=True)
            admin.config_set("masterauth", password)
            wait_until(lambda: admin.info("replication").get("slave0", {}).get("state") == "online", "a replica")
            ports = tuple(free_port() for _ in range(sentinels))
            processes = [_sentinel(directory, port, primary, password, sentinel_password) for port in ports]
            try:
                for port in ports:
                    wait_until(lambda port=port: listens(port), "a Sentinel listens")  # type: ignore[misc]
                    client = redis.Redis(port=port, password=sentinel_password, decode_responses=True)
                    wait_until(
                        lambda client=client: (  # type: ignore[misc]
                            client.sentinel_master(SERVICE)["num-slaves"] == 1
                            and client.sentinel_master(SERVICE)["num-other-sentinels"] == sentinels - 1
                        ),
                        "the Sentinels know each other and the replica",
                        seconds=60,
                    )
                yield Watched(ports, primary, replica)
            finally:
                for process in processes:
                    process.kill()
                    process.wait()


def _sentinel(
    directory: Path, port: int, primary: RedisServer, password: str, own_password: str
) -> subprocess.Popen[bytes]:
    file = directory / f"sentinel-{port}.conf"
    file.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {directory}\nrequirepass {own_password}\n"
        f"sentinel sentinel-pass {own_password}\n"
        f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} 2\nsentinel auth-pass {SERVICE} {password}\n"
        f"sentinel down-after-milliseconds {SERVICE} 20000\n",
        encoding="utf-8",
    )
    program = find_program("redis-sentinel", "usr/bin")
    return subprocess.Popen([program, str(file)], stdout=subprocess.DEVNULL, cwd=directory)


@contextmanager
def cluster_node(directory: Path, *, slots: str) -> Iterator[RedisServer]:
    """Run one node of a cluster: `slots` is what it serves, such as `0 16383`; another node has the rest."""
    options = ("--cluster-enabled", "yes", "--cluster-config-file", f"nodes-{slots.replace(' ', '-')}.conf")
    # By default ten thousand above the port, which may be too high.
    more = ("--cluster-port", str(free_port()), "--dir", str(directory), "--cluster-require-full-coverage", "no")
    with redis_server("", *options, *more) as server, redis.Redis.from_url(server.url) as admin:
        admin.execute_command("CLUSTER", "ADDSLOTSRANGE", *slots.split())
        yield server
