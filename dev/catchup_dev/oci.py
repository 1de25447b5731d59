"""Writes the smallest of container images: one static program, nothing else.

The node needs such an image for every pod before there is anything to build images with.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_NOBODY = "65535:65535"


def write_archive(archive: Path, program: Path, reference: str) -> None:
    """An OCI archive of `program`, the same bytes for the same program."""
    layer = _tar({program.name: (program.read_bytes(), 0o755)})
    blobs: dict[str, bytes] = {}

    def blob(content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        name = hashlib.sha256(content).hexdigest()
        blobs[name] = content
        return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(content), **more}

    config = {
        "architecture": _architecture(program),
        "os": "linux",
        "config": {"Entrypoint": [f"/{program.name}"], "User": _NOBODY},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": blob(_json(config), _CONFIG),
        "layers": [blob(layer, _LAYER)],
    }
    names = {
        "io.containerd.image.name": reference,
        "org.opencontainers.image.ref.name": reference.rsplit(":", 1)[1],
    }
    index = {"schemaVersion": 2, "manifests": [blob(_json(manifest), _MANIFEST, annotations=names)]}
    files = {
        "oci-layout": (_json({"imageLayoutVersion": "1.0.0"}), 0o644),
        "index.json": (_json(index), 0o644),
        **{f"blobs/sha256/{name}": (content, 0o644) for name, content in blobs.items()},
    }
    archive.write_bytes(_tar(files))


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)  # owner root, time 0: nothing of this machine gets in
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _architecture(program: Path) -> str:
    """The architecture in the program's ELF header, so that the image tells the truth."""
    machine = int.from_bytes(program.read_bytes()[18:20], "little")
    return {0x3E: "amd64", 0xB7: "arm64"}.get(machine, "amd64")
