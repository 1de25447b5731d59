"""What is in an image: a bill of materials in CycloneDX's JSON, made from the image itself.

`python -m catchup_dev.sbom operator jobs` writes `.local/sbom/NAME.cdx.json`.
"""

from __future__ import annotations

import argparse
import email
import re
import sys
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from catchup_dev import images, oci_archive
from catchup_dev.base_image import SUITE
from catchup_dev.cluster.layout import CHECKOUT
from catchup_dev.console import Console, exit_code_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

DIRECTORY = CHECKOUT / ".local" / "sbom"
_DPKG = "var/lib/dpkg/status"
_METADATA = re.compile(r".*/(?:site|dist)-packages/[^/]+\.dist-info/METADATA")
_VERSION = "org.opencontainers.image.version"


def bill_of(name: str, image: images.Image) -> str:
    """Return the bill of materials as JSON, the same text for the same image."""
    files = oci_archive.files(image.archive, lambda path: path == _DPKG or _METADATA.fullmatch(path) is not None)
    digest = image.digest()
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_OID, digest), components=_components(files))
    purl = PackageURL("oci", None, f"catchup-{name}", digest)
    described = Component(
        name=f"catchup-{name}",
        type=ComponentType.CONTAINER,
        version=image.labels().get(_VERSION, ""),
        purl=purl,
        bom_ref=purl.to_string(),
    )
    bom.metadata.component = described
    bom.register_dependency(described, bom.components)
    bom.metadata.timestamp = datetime.fromtimestamp(0, UTC)  # the image's own, since its builds can be repeated
    text: str = JsonV1Dot6(bom).output_as_string(indent=2)
    return f"{text}\n"


def write(name: str, directory: Path = DIRECTORY, console: Console | None = None) -> Path:
    """Build the image if it changed, and write its bill; return the file."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.cdx.json"
    path.write_text(bill_of(name, images.known_image(name, console)))
    return path


def _components(files: Mapping[str, bytes]) -> Iterator[Component]:
    for path, content in files.items():
        if path != _DPKG:
            fields = email.message_from_bytes(content)
            yield _component("pypi", None, fields["Name"], fields["Version"], {})
    for stanza in files.get(_DPKG, b"").split(b"\n\n"):
        fields = email.message_from_bytes(stanza)
        if fields["Status"] == "install ok installed":
            more = {"arch": fields["Architecture"], "distro": SUITE}
            yield _component("deb", "debian", fields["Package"], fields["Version"], more)


def _component(kind: str, namespace: str | None, name: str, version: str, more: dict[str, str]) -> Component:
    purl = PackageURL(kind, namespace, name, version, more)
    return Component(name=name, version=version, type=ComponentType.LIBRARY, purl=purl, bom_ref=purl.to_string())


def main(arguments: list[str] | None = None) -> int:
    """Write the bills of the named images; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m catchup_dev.sbom", description=__doc__)
    parser.add_argument("names", nargs="+", choices=sorted(images.KNOWN), metavar="NAME")
    given = parser.parse_args(arguments)

    def run() -> int:
        for name in given.names:
            print(write(name, console=Console()).relative_to(CHECKOUT))
        return 0

    return exit_code_of(run, interrupted="nothing half-done is kept.")


if __name__ == "__main__":
    sys.exit(main())
