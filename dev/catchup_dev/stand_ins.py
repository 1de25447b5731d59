"""Stand-ins for Google, Twilio and a mail server, where a local cluster's pods reach them."""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from catchup_dev.cluster.layout import CHECKOUT
from catchup_dev.console import Failure
from catchup_dev.doubles.client import ControlClient
from catchup_dev.doubles.google.client import GoogleDouble
from catchup_dev.doubles.smtp.control import PASSWORD, USERNAME
from catchup_dev.doubles.twilio.messages import ACCOUNT_SID, AUTH_TOKEN, SENDER
from catchup_dev.ports import free_ports
from catchup_dev.processes import Daemon, stop_all

if TYPE_CHECKING:
    from pathlib import Path

    from catchup_dev.console import Console

_START_SECONDS: Final = 90.0
_CLIENT_SECRET_BYTES: Final = 16
_PORTS: Final = ("google", "twilio", "smtp", "smtp-control")


class StandIns:
    """The three doubles of one installation; ports, OAuth client and Google's state last over restarts.

    Attributes:
        outbox: where accepted messages are, as `*.sms.json` and `*.eml`.
    """

    def __init__(self, host: str, directory: Path, outbox: Path, console: Console) -> None:
        self.outbox = outbox
        self._host = host
        self._directory = directory
        self._console = console
        self._settings_file = directory / "stand-ins.json"
        self._certificate = directory / "smtp.crt"
        self._daemons = {name: Daemon(name, directory) for name in ("google", "twilio", "smtp")}

    @property
    def google(self) -> GoogleDouble:
        """The double of Google, running."""
        return GoogleDouble(self._url("google"))

    @property
    def twilio(self) -> ControlClient:
        """The double of Twilio, running."""
        return ControlClient(self._url("twilio"))

    def start(self) -> None:
        """Start what does not run."""
        self._directory.mkdir(parents=True, exist_ok=True)
        settings, outbox = self._settings(), str(self.outbox)
        client = f"{settings['client-id']}:{settings['client-secret']}"
        state = str(self._directory / "google.json")
        commands = {
            "google": ["--port", settings["google"], "--state", state, "--client", client],
            "twilio": ["--port", settings["twilio"], "--outbox", outbox],
            "smtp": ["--port", settings["smtp"], "--control-port", settings["smtp-control"], "--outbox", outbox],
        }
        commands["smtp"] += ["--name", self._host, "--ca-file", str(self._certificate)]
        with self._console.step("Google, Twilio and a mail server, each a double"):
            for name, arguments in commands.items():
                command = [
                    sys.executable,
                    "-m",
                    f"catchup_dev.doubles.{name}",
                    "serve",
                    "--host",
                    self._host,
                    *arguments,
                ]
                paths = ":".join(str(CHECKOUT / root) for root in ("dev", "contract", "jobs_image"))
                self._daemons[name].start(
                    command, stamp=" ".join(command), env={"PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}
                )
            for name, daemon in self._daemons.items():
                self._wait(name, daemon)

    def stop(self) -> None:
        """End them."""
        stop_all(self._daemons.values())

    def collect_messages(self) -> None:
        """Bring what was accepted into the outbox; here the doubles write there themselves."""

    def forget_messages(self) -> None:
        """Empty the outbox."""
        shutil.rmtree(self.outbox, ignore_errors=True)

    def objects(self) -> list[dict[str, Any]]:
        """Return the Secrets and the ConfigMap that an administrator would make for the real services."""
        settings = self._settings()
        secret_data = {
            "google-client": {name: settings[name] for name in ("client-id", "client-secret")},
            "twilio": {"account-sid": ACCOUNT_SID, "auth-token": AUTH_TOKEN},
            "smtp": {"username": USERNAME, "password": PASSWORD},
        }
        made = [
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}
            for name, data in secret_data.items()
        ]
        certificate = {"ca.crt": self._certificate.read_text()}
        return [
            *made,
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "private-ca"}, "data": certificate},
        ]

    def values(self) -> dict[str, Any]:
        """Return the chart's values that put them in the services' place."""
        google = GoogleDouble(self._url_for_pods("google"))
        return {
            "google": {
                "existingSecret": "google-client",
                "apiEndpoint": google.api_endpoint,
                "tokenUri": google.token_uri,
            },
            "twilio": {"existingSecret": "twilio", "from": SENDER, "apiBaseUrl": self._url_for_pods("twilio")},
            "smtp": {
                "host": self._host_for_pods("smtp"),
                "port": self._port_for_pods("smtp"),
                "from": "CatchUp <digest@example.com>",
                "existingSecret": "smtp",
            },
            "caBundle": {"configMap": "private-ca"},
            "actionBaseUrl": "https://app.example.com/catchup",
            "connectUrl": "https://app.example.com/connect",
        }

    def _url(self, name: str) -> str:
        return f"http://{self._host}:{self._settings()[name]}"

    def _url_for_pods(self, name: str) -> str:
        return f"http://{self._host_for_pods(name)}:{self._port_for_pods(name)}"

    def _host_for_pods(self, _name: str) -> str:
        return self._host

    def _port_for_pods(self, name: str) -> int:
        return int(self._settings()[name])

    def _settings(self) -> dict[str, str]:
        if not self._settings_file.exists():
            made = {
                **dict(zip(_PORTS, map(str, free_ports(self._host, len(_PORTS))), strict=True)),
                "client-id": "catchup-demo",
                "client-secret": secrets.token_urlsafe(_CLIENT_SECRET_BYTES),
            }
            self._settings_file.touch(mode=0o600)
            self._settings_file.write_text(json.dumps(made))
        found: dict[str, str] = json.loads(self._settings_file.read_text())
        return found

    def _wait(self, name: str, daemon: Daemon) -> None:
        deadline = time.monotonic() + _START_SECONDS
        port = int(self._settings()[name])
        while not _listens(self._host, port):
            if not daemon.alive() or time.monotonic() > deadline:
                raise Failure(f"The double of {name} does not answer.", log=daemon.log_tail())
            time.sleep(0.05)


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0
