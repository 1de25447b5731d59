"""One private authority for every server of an installation, given by `CATCHUP_CA_FILE` alone."""

from __future__ import annotations

import json
import os
import shutil
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.fernet import Fernet
from integration.jobs import nursery
from integration.jobs.sync_world import CLIENT_ID, CLIENT_SECRET, EMAIL
from integration.redis_kinds import Authority, tls_redis
from integration.services import PostgresServer, postgres_server

from catchup_contract.outcomes import ExitCode
from catchup_dev.doubles.google.client import GoogleDouble
from catchup_dev.doubles.google.server import running as google_running
from catchup_dev.doubles.smtp.server import running as smtp_running

ROOT: Final = Path(__file__).parents[3]
ADA: Final = {
    "id": "ada",
    "name": "Ada",
    "timeZone": "Europe/Berlin",
    "channels": {"email": {"address": "ada@example.com", "mode": "on"}},
    "contacts": [{"id": "c-1", "name": "Ben", "createdAt": "2025-01-10T12:00:00Z"}],
}


class Installation:
    """Servers that speak TLS only, by certificates of one authority, and commands that use them."""

    def __init__(self, environment: Mapping[str, str], ca: Path) -> None:
        self.environment, self._ca = environment, ca

    def run(self, *arguments: str, stdin: str = "", **changes: str) -> tuple[int, str]:
        """Return the exit code and what was printed."""
        environment = {**self.environment, "CATCHUP_CA_FILE": str(self._ca), **changes}
        code, output, errors = nursery.run(arguments, environment, stdin=stdin)
        assert "Traceback" not in errors
        return code, output + errors


def _speak_tls(postgres: PostgresServer, authority: Authority) -> None:
    """Let a server accept TLS alone: `hostssl` in place of `host`."""
    certificate, key = postgres.data / "server.crt", postgres.data / "server.key"
    shutil.copy(authority.certificate, certificate)
    shutil.copy(authority.key, key)
    for path in (certificate, key):
        shutil.chown(path, postgres.data.owner(), postgres.data.group())
    key.chmod(0o600)
    (postgres.data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 trust\n", encoding="utf-8")
    postgres.stop()
    postgres.command += ["-c", "ssl=on"]
    postgres.start()


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    directory = tmp_path_factory.mktemp("authority")
    authority = Authority.make(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)
    with (
        postgres_server() as postgres,
        tls_redis(authority) as redis,
        google_running() as google,
        smtp_running() as smtp,
    ):
        _speak_tls(postgres, authority)
        google.control.add_client(CLIENT_ID, CLIENT_SECRET)
        double = GoogleDouble(google.url)
        double.add_user(EMAIL, "Europe/Berlin")
        token = double.grant(EMAIL, client_id=CLIENT_ID)
        google.socket = context.wrap_socket(google.socket, server_side=True)
        # The mail server's certificate is of another authority: a bundle has several.
        bundle = directory / "bundle.pem"
        bundle.write_bytes(authority.ca.read_bytes() + smtp.ca_file.read_bytes())
        made = Installation(
            {
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("contract", "jobs_image")),
                "HOME": str(directory),
                "CATCHUP_DATABASE_URL": f"postgresql://catchup@localhost:{postgres.port}/postgres?sslmode=verify-full",
                "CATCHUP_REDIS_URL": f"rediss://localhost:{redis.port}/0",
                "CATCHUP_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
                "CATCHUP_GOOGLE_CLIENT_ID": CLIENT_ID,
                "CATCHUP_GOOGLE_CLIENT_SECRET": CLIENT_SECRET,
                "CATCHUP_GOOGLE_API_ENDPOINT": _by_tls(double.api_endpoint),
                "CATCHUP_GOOGLE_TOKEN_URI": _by_tls(double.token_uri),
                "CATCHUP_SMTP_HOST": "localhost",
                "CATCHUP_SMTP_PORT": str(smtp.port),
                "CATCHUP_SMTP_FROM": "CatchUp <digest@example.com>",
                "CATCHUP_SMTP_USERNAME": "catchup",
                "CATCHUP_SMTP_PASSWORD": "double",
            },
            bundle,
        )
        steps: list[tuple[tuple[str, ...], Any]] = [
            (("db", "migrate"), ""),
            (("user", "import", "-"), ADA),
            (("calendar", "connect", "ada", "--token-file", "-"), token),
        ]
        for arguments, document in steps:
            code, said = made.run(*arguments, stdin=document and json.dumps(document))
            assert code == ExitCode.DONE, said
        yield made


def _by_tls(url: str) -> str:
    return url.replace("http:", "https:").replace("127.0.0.1", "localhost")


def test_every_job_trusts_the_authority_at_every_server(installation: Installation) -> None:
    for arguments in (("sync", "--user", "ada"), ("suggestions", "--user", "ada"), ("digest", "--user", "ada")):
        code, said = installation.run(*arguments)
        assert code == ExitCode.DONE, said
    code, said = installation.run("user", "show", "ada")
    assert "email sent" in said, said


@pytest.mark.parametrize("arguments", [("sync", "--user", "ada"), ("user", "show", "ada"), ("db", "migrate")])
def test_without_the_authority_the_database_is_told_to_be_misconfigured(
    installation: Installation, arguments: tuple[str, ...]
) -> None:
    code, said = installation.run(*arguments, CATCHUP_CA_FILE="")
    assert code == ExitCode.MISCONFIGURED, said
    assert "certificate" in said, said


def test_a_server_whose_name_is_not_in_its_certificate_is_refused(installation: Installation) -> None:
    url = installation.environment["CATCHUP_DATABASE_URL"].replace("localhost", "127.0.0.1")
    code, said = installation.run("user", "show", "ada", CATCHUP_DATABASE_URL=url)
    assert code == ExitCode.MISCONFIGURED, said
