"""The root file system that local images stand on, in place of an official image nobody can pull offline."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from catchup_dev.cache import cached_directory, digest
from catchup_dev.console import Console, Failure

SUITE = "bookworm"
PACKAGES = ("ca-certificates", "python3")
# what no container needs; licences stay
_DROPPED = (
    "var/cache/apt/*.bin",
    "var/cache/apt/archives/*.deb",
    "var/lib/apt/lists/*",
    "var/log/*",
    "usr/share/man/*",
    "usr/share/locale/*",
    "usr/share/doc/*/changelog*",
)


def root_tarball(console: Console, architecture: str | None = None) -> Path:
    """The tarball, made the first time: for this machine, or for another architecture that it emulates."""
    name = f"base-{key(architecture)}"
    return cached_directory(name, lambda scratch: _make(scratch, console, architecture), console) / "root.tar"


def key(architecture: str | None = None) -> str:
    """Names the base by what it is made from."""
    return digest([SUITE, *PACKAGES, *_DROPPED, *_options(architecture)])


def _options(architecture: str | None) -> list[str]:
    return [f"--arch={architecture}"] if architecture else []


def _make(scratch: Path, console: Console, architecture: str | None) -> None:
    root = scratch / "root"
    with console.step(f"Debian {SUITE} for base images (about a minute, once)"):
        # in a mount namespace of its own, so that nothing stays mounted when it is interrupted
        include = f"--include={','.join(PACKAGES)}"
        how = ["--variant=minbase", include, *_options(architecture)]
        _run(["unshare", "--mount", "debootstrap", *how, SUITE, str(root)])
        for pattern in _DROPPED:
            for path in root.glob(pattern):
                if path.is_file() and not path.is_symlink():
                    path.unlink()
        for directory in (root / "var/lib/apt/lists", root / "usr/share/man", root / "usr/share/locale"):
            _run(["find", str(directory), "-mindepth", "1", "-delete"])
        options = ["--sort=name", "--mtime=@0", "--numeric-owner", "--one-file-system"]
        _run(["tar", "-C", str(root), *options, "-cf", str(scratch / "root.tar"), "."])
        _run(["rm", "-rf", str(root)])


def _run(argv: list[str]) -> None:
    done = subprocess.run(
        argv,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-12:])
        raise Failure(
            f"`{' '.join(argv[:4])} ...` failed.", log=tail, todo="check that Debian's mirror can be reached."
        )
