"""Debian packages a node and image builds need: looked for by the programs they hold, installed when missing.

Looking for programs instead of packages leaves machines alone that have them from elsewhere (Docker's containerd,
another distribution).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from catchup_dev.cache import cache_root, locked
from catchup_dev.console import Console, Failure
from catchup_dev.processes import SYSTEM_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# program (an absolute path is looked for as it is) -> Debian package
CONTROL_PLANE = {"openssl": "openssl", "setsid": "util-linux"}
NODE = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "nft": "nftables",
    "ip": "iproute2",
    "mount": "mount",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
}
IMAGES = {"buildah": "buildah", "debootstrap": "debootstrap"}
TESTS = {
    "redis-server": "redis-server",
    "redis-sentinel": "redis-sentinel",
    "initdb": "postgresql",
    "pgbouncer": "pgbouncer",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "docker-registry": "docker-registry",
    "jq": "jq",
    **CONTROL_PLANE,
}
# A cluster and the tests run their own.
_SERVICES = (
    "containerd.service",
    "redis-server.service",
    "redis-sentinel.service",
    "postgresql.service",
    "pgbouncer.service",
    "prometheus.service",
    "prometheus-alertmanager.service",
    "docker-registry.service",
)


def missing(programs: Mapping[str, str]) -> list[str]:
    """The packages whose program is not there."""
    # Debian keeps PostgreSQL's programs out of PATH, a folder for each version.
    postgresql = (str(folder) for folder in Path("/usr/lib/postgresql").glob("*/bin"))
    path = ":".join([os.environ.get("PATH", ""), SYSTEM_PATH, *postgresql])
    return sorted({package for program, package in programs.items() if shutil.which(program, path=path) is None})


def ensure(programs: Mapping[str, str], console: Console) -> None:
    """Install what is missing, as root, and say what."""
    packages = missing(programs)
    if not packages:
        return
    names = " ".join(packages)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Failure(
            f"These programs are missing: {', '.join(p for p, owner in programs.items() if owner in packages)}.",
            todo=f"install them (Debian's packages: {names}), or run this as root on Debian to have it done.",
        )
    # apt waits for dpkg's lock but not for that of its lists; the demo installs for its images and its node at once.
    with locked(cache_root() / ".apt.lock", console):
        packages = missing(programs)
        if packages:
            with (
                console.step(f"Installing Debian packages: {' '.join(packages)}"),
                _services_stay_off(*_SERVICES),
            ):
                _apt("update", "-qq")
                _apt("install", "-y", "-qq", "--no-install-recommends", *packages)
    if still := missing(programs):
        raise Failure(f"Still missing after the installation: {' '.join(still)}.", todo="install them by hand.")


def _apt(*arguments: str) -> None:
    done = subprocess.run(
        ["apt-get", "-o", "DPkg::Lock::Timeout=300", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-12:])
        raise Failure(f"apt-get {arguments[0]} failed.", log=tail, todo="mend apt, then run this again.")


@contextmanager
def _services_stay_off(*units: str) -> Iterator[None]:
    """Keep packages from starting their services: a cluster runs a containerd of its own."""
    if not Path("/run/systemd/system").exists():
        yield
        return
    subprocess.run(["systemctl", "mask", "--runtime", *units], check=False, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["systemctl", "unmask", "--runtime", *units], check=False, capture_output=True)
