"""A cluster that is there already, by a context of the user's kubeconfig and the user's kubectl and helm."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from catchup_dev.cluster.layout import CHECKOUT
from catchup_dev.console import Failure
from catchup_dev.processes import run_tool

if TYPE_CHECKING:
    from pathlib import Path

DEFINITIONS: Final = ("userschedules.catchup.dev", "schedulepools.catchup.dev")
# What a namespace of the demo is known by: no other one is used or deleted.
_OURS: Final = "catchup.dev/demo"
# The contexts that the tools for local clusters make, for a cluster of the name that they give by default.
CONTEXTS: Final = {"kind": "kind-kind", "minikube": "minikube", "k3d": "k3d-k3s-default"}


def context_of(kind: str) -> str:
    """Return the context for `current`, `kind`, `minikube` or `k3d`; a Failure where there is none."""
    for program in ("kubectl", "helm"):
        if shutil.which(program) is None:
            raise Failure(
                f"{program} is not in PATH.", todo=f"install {program}; your cluster is used with your tools."
            )
    if kind == "current":
        done = subprocess.run(["kubectl", "config", "current-context"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failure("The kubeconfig has no current context.", todo="kubectl config use-context NAME.")
        return done.stdout.strip()
    command = ["kubectl", "config", "get-contexts", "--output=name"]
    names = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    prefix = {"kind": "kind-", "minikube": "minikube", "k3d": "k3d-"}[kind]
    found = [name for name in names if name.startswith(prefix)]
    if CONTEXTS[kind] in found:
        return CONTEXTS[kind]
    if len(found) != 1:
        told = f"several: {', '.join(found)}" if found else "none"
        raise Failure(f"The kubeconfig has {told} of {kind}'s contexts.", todo="choose one, and CLUSTER=current.")
    return found[0]


@dataclass(frozen=True)
class OwnCluster:
    """Commands on one context of the kubeconfig. The demo touches namespaces of its own, and the definition."""

    context: str

    @property
    def directory(self) -> Path:
        """Where the demo keeps its notes about it."""
        return CHECKOUT / ".local" / "demo" / "own"

    def kubectl(self, *arguments: str, stdin: str | None = None, accept: tuple[int, ...] = (0,)) -> str:
        """Run kubectl; its output, or a Failure with what it said where it did not exit as accepted."""
        command = ["kubectl", f"--context={self.context}", *arguments]
        return run_tool(command, shown=f"kubectl {' '.join(arguments)}", stdin=stdin, accept=accept)

    def helm(self, *arguments: str) -> str:
        """Run helm; its output, or a Failure with what it said."""
        command = ["helm", f"--kube-context={self.context}", *arguments]
        return run_tool(command, shown=f"helm {' '.join(arguments)}", env=dict(os.environ))

    def read(self, path: str) -> dict[str, Any]:
        """Return what the API server has at a path."""
        found: dict[str, Any] = json.loads(self.kubectl("get", "--raw", path))
        return found

    def make_namespace(self, name: str) -> None:
        """Make a namespace of the demo's, with Pod Security enforced; a Failure where it is somebody else's."""
        found = self.kubectl("get", "namespace", name, "--ignore-not-found", "--output=json")
        if found and _OURS not in json.loads(found)["metadata"].get("labels", {}):
            raise Failure(f"The namespace {name} is there already and not the demo's.", todo="rename or delete it.")
        labels = {_OURS: "true", "pod-security.kubernetes.io/enforce": "restricted"}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(namespace))

    def delete_namespaces(self) -> None:
        """Delete the demo's namespaces with all in them."""
        self.kubectl("delete", "namespaces", f"--selector={_OURS}=true", "--ignore-not-found", "--timeout=180s")

    def definition_owner(self) -> str | None:
        """Return whose the definition of UserSchedules is, as `namespace/release`; None where there is none.

        A release has both definitions or none.
        """
        found = self.kubectl("get", "crd", DEFINITIONS[0], "--ignore-not-found", "--output=json")
        if not found:
            return None
        notes = json.loads(found)["metadata"].get("annotations", {})
        return "/".join(notes.get(f"meta.helm.sh/release-{part}", "") for part in ("namespace", "name"))

    def namespaces_with_resources(self) -> list[str]:
        """Return the namespaces that hold a UserSchedule or a SchedulePool of anybody's."""
        if self.definition_owner() is None:
            return []
        each = "{range .items[*]}{.metadata.namespace}{' '}{end}"
        names = self.kubectl("get", ",".join(DEFINITIONS), "--all-namespaces", f"--output=jsonpath={each}").split()
        return sorted(set(names))
