"""`make run-operator`: the operator from the working tree against the running demo, in place of its pod."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from catchup_dev.cluster import Cluster, Failure
from catchup_dev.cluster.layout import CHECKOUT
from catchup_dev.console import Console, exit_code_of
from catchup_dev.stack import RELEASE, Stack

_DEPLOYMENT = f"deployment/{RELEASE}-operator"
_HEALTH_PORT = "CATCHUP_HEALTH_PORT"
_TEMPLATE_FILE = "CATCHUP_JOB_TEMPLATE_FILE"


def run(console: Console) -> int:
    """Scale the operator's pod away, run the operator here until it is stopped, and bring the pod back.

    Returns:
        the operator's exit code.

    Raises:
        Failure: the demo does not run.
    """
    cluster = Cluster(console=console, helm=True)
    if not cluster.exists():
        raise Failure("The demo does not run.", todo="run `make demo` first.")
    stack = Stack(cluster, console=console)
    env = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig), **_settings(stack)}
    # SIGTERM ends the process without `finally` otherwise, and the pod would not come back.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stack.kubectl("scale", _DEPLOYMENT, "--replicas=0")
    try:
        stack.kubectl("wait", "--for=delete", "pod", "-l=app.kubernetes.io/component=operator", "--timeout=60s")
        console.say("The operator runs from the working tree; Ctrl-C ends it and brings its pod back.")
        command = Path(sys.executable).with_name("catchup-operator")
        return _wait(subprocess.Popen([command, "run", "--plain-logs"], env=env))
    finally:
        stack.kubectl("scale", _DEPLOYMENT, "--replicas=1")


def _settings(stack: Stack) -> dict[str, str]:
    """Return what the chart gives to the operator's pod, with files and ports of this machine."""
    (container,) = stack.get(_DEPLOYMENT)["spec"]["template"]["spec"]["containers"]
    settings: dict[str, Any] = {entry["name"]: entry.get("value", "") for entry in container["env"]}
    template = CHECKOUT / ".local" / "job-template.yaml"
    template.write_text(stack.get("configmap", f"{RELEASE}-operator")["data"]["job-template.yaml"])
    settings[_TEMPLATE_FILE] = str(template)
    del settings[_HEALTH_PORT]
    return settings


def _wait(operator: subprocess.Popen[bytes]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: operator.terminate())
    while True:
        try:
            return operator.wait()
        except KeyboardInterrupt:
            continue  # the terminal sent it to the operator, too, which ends by itself


def main() -> int:
    """Run until stopped; return the exit code."""
    console = Console()
    return exit_code_of(lambda: run(console), interrupted="`make run-operator` starts it again.")


if __name__ == "__main__":
    sys.exit(main())
