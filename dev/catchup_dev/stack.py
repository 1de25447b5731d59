"""The product on a local cluster: images, doubles, Helm release, and the commands that its users type.

The demo and the end-to-end tests stand on this, each on a cluster of its own.
"""

from __future__ import annotations

import json
import secrets
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catchup_dev import images
from catchup_dev.cluster import Failure
from catchup_dev.cluster.layout import CHECKOUT
from catchup_dev.console import Console
from catchup_dev.stand_ins import StandIns

if TYPE_CHECKING:
    from catchup_dev.cluster import Cluster
    from catchup_dev.doubles.google.client import GoogleDouble

CHART = CHECKOUT / "helm" / "catchup-jobs"
RELEASE = "catchup-jobs"
_IMAGES = ("operator", "jobs", "redis", "postgres")


def build_images(console: Console) -> dict[str, images.Image]:
    """Build those of the product's images that changed; this needs no cluster."""
    return {name: images.known_image(name, console) for name in _IMAGES}


class Stack:
    """One installation of the product, in a namespace with restricted Pod Security."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str = "catchup",
        *,
        directory: Path | None = None,
        outbox: Path | None = None,
        console: Console | None = None,
    ) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self._console = console or Console(quiet=True)
        self._directory = directory or cluster.layout.directory / "doubles"
        self._outbox = outbox or self._directory / "outbox"

    # -- what the product stands on

    @cached_property
    def stand_ins(self) -> StandIns:
        """The doubles of the outside services; the cluster must be up, since they listen where its pods reach them."""
        return StandIns(self.cluster.host_address, self._directory, self._outbox, self._console)

    @property
    def google(self) -> GoogleDouble:
        """The double of Google, running."""
        return self.stand_ins.google

    def load_images(self) -> dict[str, images.Image]:
        """Build what changed and give it to the node."""
        built = build_images(self._console)
        with self._console.step("Images on the node"):
            for image in built.values():
                images.import_image(self.cluster, image)
        return built

    # -- the release

    def make_namespace(self) -> None:
        """Make the namespace, with Pod Security enforced, and the Secrets of the outside services."""
        namespace = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": self.namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        }
        self.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(namespace))
        self.kubectl("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, self.stand_ins.objects())))

    def values(self, built: dict[str, images.Image]) -> dict[str, Any]:
        """The chart's values for a local cluster: local images, and doubles in the outside services' place."""

        references = {name: image.reference for name, image in built.items()}
        return self.values_of(references, pull_policy="Never")

    def values_of(self, references: dict[str, str], *, pull_policy: str) -> dict[str, Any]:
        """The same for images by their names; a component whose image is not among them has the chart's own."""
        components = {"operator": "operator", "jobs": "jobs", "postgresql": "postgres", "redis": "redis"}
        chosen = {}
        for component, name in components.items():
            if name in references:
                repository, _, tag = references[name].rpartition(":")
                chosen[component] = {"image": {"repository": repository, "tag": tag, "pullPolicy": pull_policy}}
        return {
            "generateSecrets": True,
            **chosen,
            "toolbox": {"enabled": True},
            "metrics": {"enabled": True, "everySeconds": 5},
            **self.stand_ins.values(),
        }

    def write_values(self, values: dict[str, Any]) -> Path:
        """Write a values file (JSON is YAML)."""
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / "values.json"
        path.write_text(json.dumps(values, indent=2))
        return path

    # -- what users type

    def helm(self, *arguments: str) -> str:
        """Run helm in the namespace; its output, or a Failure with what it said."""
        return self.cluster.helm(f"--namespace={self.namespace}", *arguments)

    def kubectl(self, *arguments: str, stdin: str | None = None, accept: tuple[int, ...] = (0,)) -> str:
        """Run kubectl in the namespace."""
        return self.cluster.kubectl(f"--namespace={self.namespace}", *arguments, stdin=stdin, accept=accept)

    def get(self, *arguments: str) -> dict[str, Any]:
        """Return `kubectl get … -o json`."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "--output=json"))
        return found

    def catchup_jobs(self, *arguments: str, stdin: str | None = None, accept: tuple[int, ...] = (0,)) -> str:
        """Run `catchup-jobs` in the toolbox; a Failure where it does not exit with an accepted code."""
        return self.kubectl(
            "exec",
            *(["-i"] if stdin is not None else []),
            f"deployment/{RELEASE}-toolbox",
            "--",
            "catchup-jobs",
            *arguments,
            stdin=stdin,
            accept=accept,
        )

    def wait_for_operator(self) -> None:
        """Wait until the database is migrated, and operator, toolbox and exporter of metrics are rolled out."""
        migration = "app.kubernetes.io/component=migration"
        self.kubectl("wait", "--for=condition=Complete", "job", "-l", migration, "--timeout=240s")
        for name in ("operator", "toolbox", "metrics"):
            self.kubectl("rollout", "status", f"deployment/{RELEASE}-{name}", "--timeout=120s")

    def cronjob_of(self, schedule: str, job: str = "sync") -> str:
        """The CronJob's name, as the status tells it; waits for the resource to be Ready."""
        self.kubectl("wait", "--for=condition=Ready", f"userschedule/{schedule}", "--timeout=60s")
        name: str = self.get("userschedule", schedule)["status"][job]["cronJobName"]
        return name

    def trigger(self, schedule: str, job: str = "sync") -> str:
        """Start a run by hand; return the Job's name."""
        name = f"{schedule}-{job}-{secrets.token_hex(3)}"
        self.kubectl("create", "job", name, f"--from=cronjob/{self.cronjob_of(schedule, job)}")
        return name

    def follow(self, schedule: str, name: str, job: str = "sync", *, seconds: float = 300.0) -> dict[str, Any]:
        """Wait until the status tells of that Job; return the status of its kind."""
        deadline = time.monotonic() + seconds
        resource = f"/apis/catchup.dev/v1alpha1/namespaces/{self.namespace}/userschedules/{schedule}"
        while True:
            status: dict[str, Any] = self.cluster.read(resource)["status"][job]
            if status.get("lastJobName") == name:
                return status
            if time.monotonic() > deadline:
                log = self.kubectl("describe", f"job/{name}")[-1500:]
                raise Failure(f"The Job {name} has not ended within {seconds:.0f} s.", log=log)
            time.sleep(0.2)
