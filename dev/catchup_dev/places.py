"""Where the demo runs: on a local Kubernetes that it starts, or on a cluster of the user's."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol

from catchup_dev import own_cluster
from catchup_dev.cluster import Cluster
from catchup_dev.cluster.layout import CHECKOUT
from catchup_dev.console import Console, Failure
from catchup_dev.delivery import deliver
from catchup_dev.own_cluster import OwnCluster
from catchup_dev.pod_stand_ins import PodStandIns
from catchup_dev.stack import CHART, RELEASE, Stack, build_images

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from catchup_dev.images import Image

LOCAL: Final = "local"
CLUSTERS: Final = (LOCAL, "current", "kind", "minikube", "k3d")
OUTBOX: Final = CHECKOUT / ".local" / "demo" / "outbox"
_NAMESPACE: Final = "catchup-demo"
# Which cluster the demo is on, so that `demo-down` takes back that one.
_NOTE: Final = CHECKOUT / ".local" / "demo" / "place.json"


class Place(Protocol):
    """Brings images, doubles and the release to a cluster, and takes them back."""

    @property
    def stack(self) -> Stack:
        """The installation."""

    @property
    def shell(self) -> str:
        """The lines by which a shell uses the cluster."""

    def prepare(self, say: Callable[[str], None]) -> None:
        """Bring images and doubles, telling the steps."""

    def install(self) -> None:
        """Install or upgrade the release, and wait for it."""

    def down(self) -> None:
        """Take all back."""


class LocalPlace:
    """A Kubernetes that is built and started here; needs root."""

    shell = "  export KUBECONFIG=$PWD/.local/kubeconfig PATH=$PWD/.local/bin:$PATH"

    def __init__(self, console: Console) -> None:
        self._console = console
        self._cluster = Cluster(console=console, helm=True)
        self.stack = Stack(self._cluster, outbox=OUTBOX, console=console)
        self._built: dict[str, Image] = {}

    def prepare(self, say: Callable[[str], None]) -> None:
        """Start the cluster, build the images meanwhile, start the doubles on this machine."""
        if os.geteuid() != 0:
            raise Failure(
                "The local Kubernetes runs pods, and a node needs root.",
                todo="run `make demo` as root, or use a cluster that you have: `make demo CLUSTER=kind`.",
            )
        say("1. A real Kubernetes on this machine; the images are built beside it")
        with ThreadPoolExecutor(max_workers=1) as beside:
            images = beside.submit(build_images, Console(quiet=True))
            self._cluster.up()
            with self._console.step("Images"):
                images.result()
        say("2. Images on the node, and stand-ins for Google, Twilio and a mail server")
        self._built = self.stack.load_images()
        self.stack.stand_ins.start()

    def install(self) -> None:
        """Install or upgrade the release, and wait for it."""
        self.stack.make_namespace()
        values = self.stack.write_values(self.stack.values(self._built))
        self.stack.helm("upgrade", "--install", RELEASE, str(CHART), "--values", str(values), "--timeout=4m")
        self.stack.wait_for_operator()

    def down(self) -> None:
        """End the doubles and the cluster."""
        self.stack.stand_ins.stop()
        self.stack.stand_ins.forget_messages()
        self._cluster.down()


class OwnStack(Stack):
    """The product on a cluster of the user's, with doubles in pods."""

    cluster: OwnCluster  # type: ignore[assignment]

    @cached_property
    def stand_ins(self) -> PodStandIns:
        """The doubles."""
        return PodStandIns(self.cluster, self._outbox, self._console)

    def make_namespace(self) -> None:
        """Make the demo's namespace, and the Secrets of the outside services."""
        self.cluster.make_namespace(self.namespace)
        self.kubectl("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, self.stand_ins.objects())))


class OwnPlace:
    """A cluster that is there already: nothing but two namespaces and, where there is none, the definition is made."""

    def __init__(self, kind: str, context: str, registry: str | None, values: Path | None, console: Console) -> None:
        self._kind, self._registry, self._values, self._console = kind, registry, values, console
        self._cluster = OwnCluster(context)
        directory = self._cluster.directory
        # Of a cluster, its stack needs kubectl, helm and reading only.
        self.stack = OwnStack(self._cluster, _NAMESPACE, directory=directory, outbox=OUTBOX, console=console)  # type: ignore[arg-type]
        self.shell = f"  kubectl config use-context {context}"
        self._images: dict[str, str] = {}

    def prepare(self, say: Callable[[str], None]) -> None:
        """Build and deliver the images, start the doubles as pods."""
        if _NOTE.exists() and (there := json.loads(_NOTE.read_text())["context"]) != self._cluster.context:
            raise Failure(f"The demo is on another cluster, the context {there}.", todo="`make demo-down` first.")
        _NOTE.parent.mkdir(parents=True, exist_ok=True)
        _NOTE.write_text(json.dumps({"kind": self._kind, "context": self._cluster.context}))
        say(f"1. Images for your cluster, the context {self._cluster.context}")
        self._images = deliver(self._kind, self._cluster.context, self._registry, self._console)
        say("2. Stand-ins for Google, Twilio and a mail server, as pods")
        self.stack.stand_ins.image = self._images.pop("doubles")
        self.stack.stand_ins.start()

    def install(self) -> None:
        """Install or upgrade the release, and wait for it."""
        self.stack.make_namespace()
        policy = "IfNotPresent"
        chosen: dict[str, Any] = self.stack.values_of(self._images, pull_policy=policy)
        chosen["crds"] = {"enabled": self._cluster.definition_owner() in {None, f"{_NAMESPACE}/{RELEASE}"}}
        more = ["--values", str(self._values)] if self._values else []
        values = ["--values", str(self.stack.write_values(chosen)), *more]
        self.stack.helm("upgrade", "--install", RELEASE, str(CHART), *values, "--timeout=6m")
        self.stack.wait_for_operator()

    def down(self) -> None:
        """Uninstall the release, delete the two namespaces, and the definitions if the demo made them for itself alone.

        With a definition go the resources of everybody.
        """
        ours = self._cluster.definition_owner() == f"{_NAMESPACE}/{RELEASE}"
        self.stack.stand_ins.stop()
        self.stack.stand_ins.forget_messages()
        if RELEASE in self.stack.helm("list", "--short").split():
            self.stack.helm("uninstall", RELEASE, "--wait", "--timeout=4m")
        self._cluster.delete_namespaces()
        others = self._cluster.namespaces_with_resources() if ours else []
        if others:
            self._console.say(
                f"The definitions stay, since there are resources of them in {', '.join(others)}. To delete those, too:"
                f" kubectl --context={self._cluster.context} delete crd {' '.join(own_cluster.DEFINITIONS)}"
            )
        elif ours:
            self._cluster.kubectl("delete", "crd", *own_cluster.DEFINITIONS, "--ignore-not-found", "--timeout=120s")
        _NOTE.unlink(missing_ok=True)


def pick(cluster: str | None, *, registry: str | None, values: Path | None, console: Console) -> Place:
    """Return the place that was asked for or, without one, the place of the last demo or what is there; say which."""
    context = None
    if cluster is None and _NOTE.exists():
        note = json.loads(_NOTE.read_text())
        cluster, context = note["kind"], note["context"]
    cluster = cluster or _present()
    if cluster == LOCAL:
        console.say("On a Kubernetes of its own on this machine (CLUSTER=local).")
        return LocalPlace(console)
    context = context or own_cluster.context_of(cluster)
    console.say(f"On your cluster, the context {context} (CLUSTER={cluster}).")
    return OwnPlace(cluster, context, registry, values, console)


def _present() -> str:
    """Return what can be used without a word of the user's, which the current context, somebody's cluster, cannot."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        return LOCAL
    return next((name for name in ("kind", "minikube", "k3d") if shutil.which(name)), LOCAL)
