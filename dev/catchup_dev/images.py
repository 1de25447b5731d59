"""Container images without Docker: built by buildah, kept as archives in the cache, given to a cluster's node.

`python -m catchup_dev.images build operator jobs redis postgres [--cluster NAME] [--arch arm64]`
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from catchup_dev import base_image, emulation, oci_archive, packages
from catchup_dev.cache import cache_root, cached_directory, digest, digest_files, locked
from catchup_dev.cluster import DEMO, Cluster
from catchup_dev.cluster.layout import CHECKOUT
from catchup_dev.console import Console, Failure, exit_code_of
from catchup_dev.dockerfile import stage, used_files

if TYPE_CHECKING:
    from collections.abc import Callable

DEV_IMAGES = CHECKOUT / "dev" / "images"
# name -> Dockerfile and context
KNOWN = {
    "operator": (CHECKOUT / "operator" / "Dockerfile", CHECKOUT),
    "jobs": (CHECKOUT / "jobs_image" / "Dockerfile", CHECKOUT),
    "build": (DEV_IMAGES / "build" / "Dockerfile", DEV_IMAGES / "build"),
    "redis": (DEV_IMAGES / "redis" / "Dockerfile", DEV_IMAGES / "redis"),
    "postgres": (DEV_IMAGES / "postgres" / "Dockerfile", DEV_IMAGES / "postgres"),
}
_BASE_ANNOTATION: Final = "org.opencontainers.image.base.digest"
# So that a build that is repeated gives the same bytes.
_REPEATABLE: Final = ("--format=oci", "--timestamp=0", "--identity-label=false")
_OURS = "localhost/catchup/"
_KEPT_PER_NAME: Final = 6
"""Builds of an image that the developer's cache keeps."""
_STORED_AT_MOST: Final = 200
"""Images with their intermediate steps that the developer's cache keeps: 4 to 5 GB."""
_CA_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
_CA_OF_DEBIAN = "/etc/ssl/certs/ca-certificates.crt"
_MEGA = 1e6


@dataclass(frozen=True)
class Image:
    """A built image: how pods name it, and the archive it is in."""

    reference: str
    directory: Path

    @property
    def archive(self) -> Path:
        """The OCI archive."""
        return self.directory / "image.tar"

    def digest(self) -> str:
        """The digest of its manifest."""
        return oci_archive.digest(self.archive)

    def layers(self) -> dict[str, int]:
        """Digest and size of its layers."""
        return {layer["digest"]: layer["size"] for layer in oci_archive.manifest(self.archive)["layers"]}

    def labels(self) -> dict[str, str]:
        """Its labels (`org.opencontainers.image.*`)."""
        return oci_archive.config(self.archive)["config"].get("Labels") or {}


def base(console: Console | None = None, architecture: str | None = None) -> Image:
    """The image all others stand on: for this machine, or for another architecture that it emulates."""
    console = console or Console(quiet=True)
    packages.ensure(packages.IMAGES, console)
    dockerfile = DEV_IMAGES / "base" / "Dockerfile"
    tag = digest([base_image.key(architecture), dockerfile.read_bytes()])

    def fill(context: Path) -> None:
        tarball = base_image.root_tarball(console, architecture)
        os.link(tarball, context / tarball.name)

    return _built("base", tag, dockerfile, fill=fill, arguments={}, console=console, architecture=architecture)


def build_image(
    name: str,
    dockerfile: Path,
    context: Path,
    build_args: dict[str, str] | None = None,
    *,
    console: Console | None = None,
    again_into: Path | None = None,
    architecture: str | None = None,
) -> Image:
    """Build what is named by the content of Dockerfile, used files and arguments; what is built is only named.

    `BASE_IMAGE`, its digest and, where the Dockerfile asks for it, `BUILD_IMAGE` are given where the arguments have
    none. RUN steps find the machine's certificates as the secret `ca`, and `--mount=type=cache` lasts from build to
    build. With `again_into`, build it whether or not it was, without kept layers, into that directory. `architecture`
    is another one than this machine's, which it emulates.
    """
    console = console or Console(quiet=True)
    if not dockerfile.exists():
        raise Failure(f"There is no {dockerfile}.", todo="build other images, or add it.")
    below = base(console, architecture)
    arguments = {"BASE_IMAGE": below.reference, "BASE_DIGEST": below.digest()}
    if "ARG BUILD_IMAGE" in dockerfile.read_text():
        arguments["BUILD_IMAGE"] = known_image("build", console, architecture).reference
    arguments |= build_args or {}
    files = used_files(dockerfile, context)
    how = json.dumps([_REPEATABLE, _BASE_ANNOTATION, arguments], sort_keys=True)
    tag = digest([dockerfile.read_bytes(), digest_files(context, files), how])

    def fill(target: Path) -> None:
        stage(files, context, target)

    if again_into is not None:
        image = Image(f"{_OURS}{name}:{tag}", again_into)
        _build(image, dockerfile, fill=fill, options=["--layers", "--no-cache"], arguments=arguments, console=console)
        return image
    return _built(name, tag, dockerfile, fill=fill, arguments=arguments, console=console, architecture=architecture)


def import_image(cluster: Cluster, image: Image) -> bool:
    """Give the image to the cluster's node; False when it had it."""
    if image.reference in cluster.images():
        return False
    cluster.import_image(image.archive)
    return True


def known_image(name: str, console: Console | None = None, architecture: str | None = None) -> Image:
    """Build one of the project's images by its name."""
    dockerfile, context = KNOWN[name]
    return build_image(name, dockerfile, context, console=console, architecture=architecture)


def tag_of(dockerfile: Path, context: Path) -> str:
    """Return a tag for what a Dockerfile makes of a context, whatever it is built on."""
    return digest([dockerfile.read_bytes(), digest_files(context, used_files(dockerfile, context))])


def copy_as(image: Image, reference: str) -> None:
    """Have the image in the store of `buildah_command`, by another name."""
    _prepare_store([image.reference])
    _buildah("tag", image.reference, reference)


def buildah_command() -> list[str]:
    """Return the command by which buildah is run, on a store of our own.

    In a mount namespace, since it leaves mounts of its store behind.
    """
    store, run = _build_directory("store"), _build_directory("run")
    return ["unshare", "--mount", "buildah", f"--root={store}", f"--runroot={run}"]


def _built(
    name: str,
    tag: str,
    dockerfile: Path,
    *,
    fill: Callable[[Path], None],
    arguments: dict[str, str],
    console: Console,
    architecture: str | None = None,
) -> Image:
    if architecture:
        name = f"{name}-{architecture}"
    reference = f"{_OURS}{name}:{tag}"

    def make(scratch: Path) -> None:
        image = Image(reference, scratch)
        options = ["--layers", *([f"--arch={architecture}"] if architecture else [])]
        _build(image, dockerfile, fill=fill, options=options, arguments=arguments, console=console)
        _prune(name)

    return Image(reference, cached_directory(f"image-{name}-{tag}", make, console))


def _build(
    image: Image,
    dockerfile: Path,
    *,
    fill: Callable[[Path], None],
    options: list[str],
    arguments: dict[str, str],
    console: Console,
) -> None:
    with (
        console.step(f"Building image {image.reference.rpartition('/')[2].partition(':')[0]}"),
        tempfile.TemporaryDirectory(prefix="context-", dir=_build_directory("tmp")) as context,
    ):
        # Without the lock: to make a base takes a minute, or ten by emulation.
        fill(Path(context))
        with locked(cache_root() / ".buildah.lock", console):
            _bud(image.reference, dockerfile, Path(context), options, arguments)
            archive = f"oci-archive:{image.archive}:{image.reference}"
            _buildah("push", "--quiet", "--compression-level=1", image.reference, archive)


def _bud(reference: str, dockerfile: Path, context: Path, options: list[str], arguments: dict[str, str]) -> None:
    options = [*options, *_REPEATABLE, "--isolation=chroot", "--pull-never", f"--tag={reference}"]
    if "BASE_DIGEST" in arguments:
        # buildah's own names the base as its store has it, which is another one after it was pulled into it again.
        options.append(f"--annotation={_BASE_ANNOTATION}={arguments['BASE_DIGEST']}")
    ca = next((os.environ[v] for v in _CA_VARIABLES if os.environ.get(v)), _CA_OF_DEBIAN)
    if Path(ca).exists():
        options.append(f"--secret=id=ca,src={ca}")
    options += [f"--build-arg={key}={value}" for key, value in arguments.items()]
    _prepare_store([arguments[name] for name in ("BASE_IMAGE", "BUILD_IMAGE") if name in arguments])
    _buildah("bud", *options, f"--file={dockerfile}", str(context))


def _prepare_store(below: list[str]) -> None:
    """Keep buildah's store from growing without end, and have those of our images in it, which may be gone from it."""
    listed = json.loads(_buildah("images", "--all", "--json") or "[]") or []
    if len(listed) > _STORED_AT_MOST:
        _buildah("rmi", "--all", "--force")
        listed = []
    stored = {name for image in listed for name in image.get("names") or []}
    for reference in below:
        if reference.startswith(_OURS) and reference not in stored:
            archive = cache_root() / f"image-{reference.removeprefix(_OURS).replace(':', '-')}" / "image.tar"
            _buildah("pull", "--quiet", f"oci-archive:{archive}:{reference}")


def _buildah(*arguments: str) -> str:
    done = subprocess.run(
        [*buildah_command(), *arguments],
        env={**os.environ, "TMPDIR": str(_build_directory("tmp"))},  # type=cache mounts are kept there
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-25:])
        raise Failure(f"`buildah {arguments[0]}` failed.", log=tail, todo="mend what it names, then run this again.")
    return done.stdout


def _build_directory(name: str) -> Path:
    directory = cache_root() / "buildah" / name
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _prune(name: str) -> None:
    """Drop the oldest archives of an image: each change makes a new one."""
    archives = sorted(cache_root().glob(f"image-{name}-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in archives[_KEPT_PER_NAME - 1 :]:
        shutil.rmtree(old, ignore_errors=True)


def main(arguments: list[str] | None = None) -> int:
    """Build the named images; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m catchup_dev.images", description=__doc__)
    parser.add_argument("command", choices=["build"])
    parser.add_argument("names", nargs="+", choices=sorted(KNOWN), metavar="NAME", help=" ".join(sorted(KNOWN)))
    parser.add_argument("--cluster", default=DEMO, help="import into this cluster if it runs (default: %(default)s)")
    parser.add_argument("--arch", choices=sorted(emulation.PROGRAMS), help="for this architecture, by emulation")
    given = parser.parse_args(arguments)

    return exit_code_of(
        lambda: _build_all(given.names, given.cluster, given.arch, Console()), interrupted="nothing half-done is kept."
    )


def _build_all(names: list[str], cluster_name: str, architecture: str | None, console: Console) -> int:
    if os.geteuid() != 0:
        raise Failure("Building images needs root.", todo="run this as root.")
    if architecture and architecture != emulation.machine():
        emulation.ensure(architecture, console)
        for name in names:
            print(known_image(name, console, architecture).archive)
        return 0
    cluster = Cluster(cluster_name)
    running = bool(cluster.exists() and cluster.with_node)
    below = base(console).layers()
    for name in names:
        image = known_image(name, console)
        if running:
            with console.step(f"Importing {name} into cluster {cluster_name}"):
                import_image(cluster, image)
        above = sum(size for layer, size in image.layers().items() if layer not in below)
        print(f"{image.reference}  {above / _MEGA:.1f} MB above the base image")
    if not running:
        console.say(f"Cluster {cluster_name} has no running node, so nothing was imported.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
