"""Brings the demo's images to a cluster of the user's: builds them, and pushes or loads them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from catchup_dev import images
from catchup_dev.cluster.layout import CHECKOUT
from catchup_dev.console import Failure
from catchup_dev.dockerfile import stage, used_files

if TYPE_CHECKING:
    from catchup_dev.console import Console

# name -> Dockerfile and context
IMAGES: Final[dict[str, tuple[Path, Path]]] = {
    "operator": images.KNOWN["operator"],
    "jobs": images.KNOWN["jobs"],
    "doubles": (images.DEV_IMAGES / "doubles" / "Dockerfile", CHECKOUT),
}
_BUILDERS: Final = ("docker", "podman", "buildah")


def builder() -> str:
    """Return the first of docker, podman and buildah that can be used here.

    Raises:
        Failure: there is none.
    """
    for name in _BUILDERS:
        if shutil.which(name) is None:
            continue
        # docker's client is of no use without its daemon.
        if name != "docker" or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0:
            return name
    raise Failure(
        f"None of {', '.join(_BUILDERS)} can build images here.", todo="install one, or start docker's daemon."
    )


def deliver(kind: str, context: str, registry: str | None, console: Console) -> dict[str, str]:
    """Build the images, and give them to the cluster; return the name of each as pods use it.

    Args:
        kind: `current`, which pulls from the registry, or `kind`, `minikube` or `k3d`, which are given them.
        registry: where to push, as `registry.example.com/team`; with `http://` before it, without TLS.
    """
    if kind == "current" and not registry:
        raise Failure("Your cluster must pull the images from somewhere.", todo="set REGISTRY=, where you may push.")
    tool = builder()
    insecure = bool(registry) and str(registry).startswith("http://")
    prefix = str(registry).split("://")[-1].rstrip("/") if kind == "current" else "catchup.local"
    console.say(f"Images are built by {tool}.")
    names = {}
    for name in IMAGES:
        with console.step(f"Image {name}"):
            names[name] = _build(tool, name, prefix, console)
            for command in _delivery(tool, kind, context, names[name], insecure=insecure):
                _run(command)
    return names


def _build(tool: str, name: str, prefix: str, console: Console) -> str:
    dockerfile, context = IMAGES[name]
    tag = images.tag_of(dockerfile, context)
    reference = f"{prefix}/catchup-{name}:{tag}"
    if tool == "buildah" and os.geteuid() == 0:  # as the local cluster's, whose layers are kept
        images.copy_as(images.build_image(name, dockerfile, context, console=console), reference)
    else:
        command = "bud" if tool == "buildah" else "build"
        with tempfile.TemporaryDirectory(prefix="catchup-context-") as staged:
            stage(used_files(dockerfile, context), context, Path(staged))
            _run([tool, command, "--file", str(dockerfile), "--tag", reference, staged])
    return reference


def _delivery(tool: str, kind: str, context: str, reference: str, *, insecure: bool) -> list[list[str]]:
    """Return the commands that bring a built image to the cluster."""
    cluster = context.removeprefix(f"{kind}-")
    if kind == "current":
        return [_push(tool, reference, insecure=insecure)]
    if tool != "docker":  # the loading tools know docker's images only
        archive = f"{CHECKOUT}/.local/demo/{reference.rpartition('/')[2].replace(':', '-')}.tar"
        save = [tool, "push", reference, f"docker-archive:{archive}:{reference}"]
        load = {
            "kind": ["kind", "load", "image-archive", archive, "--name", cluster],
            "minikube": ["minikube", "--profile", context, "image", "load", archive],
            "k3d": ["k3d", "image", "import", archive, "--cluster", cluster],
        }
        return [save, load[kind]]
    return [
        {
            "kind": ["kind", "load", "docker-image", reference, "--name", cluster],
            "minikube": ["minikube", "--profile", context, "image", "load", reference],
            "k3d": ["k3d", "image", "import", reference, "--cluster", cluster],
        }[kind]
    ]


def _push(tool: str, reference: str, *, insecure: bool) -> list[str]:
    plain = ["--tls-verify=false"] if insecure and tool != "docker" else []  # docker's daemon has a setting for it
    if tool == "buildah" and os.geteuid() == 0:
        return [*images.buildah_command(), "push", "--quiet", *plain, reference, f"docker://{reference}"]
    return [tool, "push", *plain, reference]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise Failure(
            f"`{' '.join(command[:3])} ...` failed.", log=tail, todo="mend what it names, then run this again."
        )
