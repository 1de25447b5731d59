"""The product on a local cluster: images, doubles, Helm release, and the commands that its users type.

The demo and the end-to-end tests stand on this, each on a cluster of its own.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catchup_dev import images
from catchup_dev.binaries import ensure
from catchup_dev.cluster import Failure
from catchup_dev.cluster.layout import CHECKOUT
from catchup_dev.console import Console
from catchup_dev.doubles.google.client import GoogleDouble
from catchup_dev.processes import Daemon

if TYPE_CHECKING:
    from catchup_dev.cluster import Cluster

CHART = CHECKOUT / "helm" / "catchup-jobs"
RELEASE = "catchup-jobs"
_IMAGES = ("operator", "jobs", "redis", "postgres")
_DOUBLE_SECONDS = 15.0
_CLIENT_SECRET_BYTES = 16


class Stack:
    """One installation of the product, in a namespace with restricted Pod Security."""

    def __init__(self, cluster: Cluster, namespace: str = "catchup", *, console: Console | None = None) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self._console = console or Console(quiet=True)
        self._directory = cluster.layout.directory / "doubles"
        self._google = Daemon("google", self._directory)
        self._settings = self._directory / "google.settings.json"

    # -- what the product stands on

    def load_images(self) -> dict[str, images.Image]:
        """Build what changed and give it to the node."""
        built = {name: images.known_image(name, self._console) for name in _IMAGES}
        with self._console.step("Images on the node"):
            for image in built.values():
                images.import_image(self.cluster, image)
        return built

    @property
    def google(self) -> GoogleDouble:
        """The double of Google, running."""
        return GoogleDouble(self._google_settings()["url"])

    def start_google(self) -> None:
        """Start the double where pods reach it; its state and its OAuth client last over restarts."""
        self._directory.mkdir(parents=True, exist_ok=True)
        settings = self._google_settings()
        command = [sys.executable, "-m", "catchup_dev.doubles.google", "serve", "--host", settings["host"]]
        command += ["--port", settings["port"], "--state", str(self._directory / "google.json")]
        command += ["--client", f"{settings['client-id']}:{settings['client-secret']}"]
        with self._console.step("Double of Google"):
            env = {"PYTHONPATH": str(CHECKOUT / "dev"), "PYTHONUNBUFFERED": "1"}
            self._google.start(command, stamp=settings["url"], env=env)
            deadline = time.monotonic() + _DOUBLE_SECONDS
            while not _listens(settings["host"], int(settings["port"])):
                if not self._google.alive() or time.monotonic() > deadline:
                    raise Failure("The double of Google does not answer.", log=self._google.log_tail())
                time.sleep(0.05)

    def stop_doubles(self) -> None:
        """End the double."""
        self._google.stop()

    def _google_settings(self) -> dict[str, str]:
        if not self._settings.exists():
            host = self.cluster.host_address
            with socket.socket() as probe:
                probe.bind((host, 0))
                port = str(probe.getsockname()[1])
            made = {
                "host": host,
                "port": port,
                "url": f"http://{host}:{port}",
                "client-id": "catchup-demo",
                "client-secret": secrets.token_urlsafe(_CLIENT_SECRET_BYTES),
            }
            self._settings.touch(mode=0o600)
            self._settings.write_text(json.dumps(made))
        found: dict[str, str] = json.loads(self._settings.read_text())
        return found

    # -- the release

    def make_namespace(self) -> None:
        """Make the namespace, with Pod Security enforced, and the Secret of the Google client."""
        google = self._google_settings()
        documents = [
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {
                    "name": self.namespace,
                    "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
                },
            },
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "google-client", "namespace": self.namespace},
                "stringData": {name: google[name] for name in ("client-id", "client-secret")},
            },
        ]
        self.cluster.kubectl("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, documents)))

    def values(self, built: dict[str, images.Image]) -> dict[str, Any]:
        """The chart's values for a local cluster: local images, and the double in Google's place."""

        def image(name: str) -> dict[str, str]:
            repository, _, tag = built[name].reference.rpartition(":")
            return {"repository": repository, "tag": tag, "pullPolicy": "Never"}

        google = self.google
        return {
            "operator": {"image": image("operator")},
            "jobs": {"image": image("jobs")},
            "postgresql": {"image": image("postgres")},
            "redis": {"image": image("redis")},
            "toolbox": {"enabled": True},
            "google": {
                "existingSecret": "google-client",
                "apiEndpoint": google.api_endpoint,
                "tokenUri": google.token_uri,
            },
        }

    def write_values(self, values: dict[str, Any]) -> Path:
        """Write a values file (JSON is YAML)."""
        path = self._directory / "values.json"
        path.write_text(json.dumps(values, indent=2))
        return path

    # -- what users type

    def helm(self, *arguments: str) -> str:
        """Run helm in the namespace; its output, or a Failure with what it said."""
        command = [str(ensure(["helm"])["helm"]), f"--namespace={self.namespace}", *arguments]
        env = {**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig)}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failure(f"`helm {' '.join(arguments)}` failed.", log=done.stderr or done.stdout)
        return done.stdout

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in the namespace."""
        return self.cluster.kubectl(f"--namespace={self.namespace}", *arguments, stdin=stdin)

    def get(self, *arguments: str) -> dict[str, Any]:
        """Return `kubectl get … -o json`."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "--output=json"))
        return found

    def catchup_jobs(self, *arguments: str, stdin: str | None = None) -> str:
        """Run `catchup-jobs` in the toolbox."""
        return self.kubectl(
            "exec",
            *(["-i"] if stdin is not None else []),
            f"deployment/{RELEASE}-toolbox",
            "--",
            "catchup-jobs",
            *arguments,
            stdin=stdin,
        )

    def wait_for_operator(self) -> None:
        """Wait until the operator and the toolbox are rolled out."""
        for name in ("operator", "toolbox"):
            self.kubectl("rollout", "status", f"deployment/{RELEASE}-{name}", "--timeout=120s")

    def cronjob_of(self, schedule: str) -> str:
        """The sync CronJob's name, as the status tells it; waits for the resource to be Ready."""
        self.kubectl("wait", "--for=condition=Ready", f"userschedule/{schedule}", "--timeout=60s")
        name: str = self.get("userschedule", schedule)["status"]["sync"]["cronJobName"]
        return name

    def trigger_sync(self, schedule: str) -> str:
        """Start a sync by hand; return the Job's name."""
        job = f"{schedule}-{secrets.token_hex(3)}"
        self.kubectl("create", "job", job, f"--from=cronjob/{self.cronjob_of(schedule)}")
        return job

    def follow(self, schedule: str, job: str, *, seconds: float = 90.0) -> dict[str, Any]:
        """Wait until the status tells of that Job; return the status of the sync."""
        deadline = time.monotonic() + seconds
        while True:
            status: dict[str, Any] = self.get("userschedule", schedule)["status"]["sync"]
            if status.get("lastJobName") == job:
                return status
            if time.monotonic() > deadline:
                log = self.kubectl("describe", f"job/{job}")[-1500:]
                raise Failure(f"The Job {job} has not ended within {seconds:.0f} s.", log=log)
            time.sleep(0.2)


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0
