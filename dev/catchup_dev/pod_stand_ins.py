"""The doubles as pods in a namespace of their own, for a cluster that reaches nothing on this machine."""

from __future__ import annotations

import base64
import json
import os
import shutil
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from catchup_dev.console import Failure
from catchup_dev.processes import Daemon, stop_all
from catchup_dev.stand_ins import StandIns

if TYPE_CHECKING:
    from pathlib import Path

    from catchup_dev.console import Console
    from catchup_dev.own_cluster import OwnCluster

NAMESPACE: Final = "catchup-demo-doubles"
_PORT, _SMTP_PORT = 8080, 8025
_MESSAGES: Final = (
    "import base64, json, pathlib; files = pathlib.Path('/tmp/outbox').glob('*'); "
    "print(json.dumps({file.name: base64.b64encode(file.read_bytes()).decode() for file in files}))"
)
_RESTRICTED: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
_POD_SECURITY: Final = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


class PodStandIns(StandIns):
    """Drives the doubles through port-forwards, and fetches their messages."""

    def __init__(self, cluster: OwnCluster, outbox: Path, console: Console) -> None:
        super().__init__("127.0.0.1", cluster.directory, outbox, console)
        self._cluster = cluster
        self.image = ""
        self._forwards = {name: Daemon(f"forward-{name}", cluster.directory) for name in ("google", "twilio", "smtp")}

    def start(self) -> None:
        """Make the pods, wait for them, and forward a port of this machine to each."""
        if not self.image:
            raise Failure("The image of the doubles was not delivered.")
        settings = self._settings()
        client = f"{settings['client-id']}:{settings['client-secret']}"
        listen = ["serve", "--host", "0.0.0.0"]  # noqa: S104 - inside of a pod
        commands = {
            "google": [*listen, "--port", str(_PORT), "--state", "/tmp/google.json", "--client", client],  # noqa: S108
            "twilio": [*listen, "--port", str(_PORT), "--outbox", "/tmp/outbox"],  # noqa: S108
            "smtp": [*listen, "--port", str(_SMTP_PORT), "--control-port", str(_PORT), "--outbox", "/tmp/outbox"],  # noqa: S108
        }
        commands["smtp"] += ["--name", self._host_for_pods("smtp"), "--ca-file", "/tmp/smtp.crt"]  # noqa: S108
        with self._console.step("Google, Twilio and a mail server, each a double in a pod"):
            self._cluster.make_namespace(NAMESPACE)
            objects = [part for name, arguments in commands.items() for part in self._objects(name, arguments)]
            self._kubectl("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, objects)))
            for name in commands:
                self._kubectl("rollout", "status", f"deployment/{name}", "--timeout=180s")
            self._forward()
            self._certificate.parent.mkdir(parents=True, exist_ok=True)
            self._certificate.write_text(self._kubectl("exec", "deployment/smtp", "--", "cat", "/tmp/smtp.crt"))  # noqa: S108

    def stop(self) -> None:
        """End the port-forwards; the pods go with their namespace."""
        stop_all(self._forwards.values())

    def collect_messages(self) -> None:
        """Fetch what was accepted into the outbox."""
        self.outbox.mkdir(parents=True, exist_ok=True)
        for name in ("twilio", "smtp"):
            told = self._kubectl("exec", f"deployment/{name}", "--", "python3", "-c", _MESSAGES)
            for file, content in json.loads(told).items():
                (self.outbox / file).write_bytes(base64.b64decode(content))

    def _forward(self) -> None:
        settings = self._settings()
        kubectl = self._kubectl_program
        for name, daemon in self._forwards.items():
            port = settings["smtp-control" if name == "smtp" else name]
            pod = self._kubectl(
                "get", "pods", f"--selector=double={name}", "--output=jsonpath={.items[0].metadata.name}"
            )
            command = [*kubectl, "port-forward", "--address=127.0.0.1", f"pod/{pod}", f"{port}:{_PORT}"]
            if not daemon.runs_with(" ".join(command)):
                daemon.stop(grace=1)
            daemon.start(command, stamp=" ".join(command), env=self._environment)
            self._wait("smtp-control" if name == "smtp" else name, daemon)

    @cached_property
    def _kubectl_program(self) -> list[str]:
        return [shutil.which("kubectl") or "kubectl", f"--context={self._cluster.context}", f"--namespace={NAMESPACE}"]

    @property
    def _environment(self) -> dict[str, str]:
        return {name: os.environ[name] for name in ("KUBECONFIG", "HOME", "PATH") if name in os.environ}

    def _kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self._cluster.kubectl(f"--namespace={NAMESPACE}", *arguments, stdin=stdin)

    def _host_for_pods(self, name: str) -> str:
        return f"{name}.{NAMESPACE}.svc"

    def _port_for_pods(self, name: str) -> int:
        return _SMTP_PORT if name == "smtp" else _PORT

    def _objects(self, name: str, arguments: list[str]) -> list[dict[str, Any]]:
        labels = {"double": name}
        container = {
            "name": name,
            "image": self.image,
            "command": ["python3", "-m", f"catchup_dev.doubles.{name}", *arguments],
            "securityContext": _RESTRICTED,
            "resources": {"limits": {"memory": "128Mi"}},
            "readinessProbe": {"tcpSocket": {"port": _PORT}, "periodSeconds": 1},
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
        }
        pod = {
            "containers": [container],
            "securityContext": _POD_SECURITY,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "16Mi"}}],
        }
        template = {"metadata": {"labels": labels}, "spec": pod}
        deployment = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        ports = [{"name": "control", "port": _PORT}]
        if name == "smtp":
            ports.append({"name": "smtp", "port": _SMTP_PORT})
        return [
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": deployment},
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name},
                "spec": {"selector": labels, "ports": ports},
            },
        ]
