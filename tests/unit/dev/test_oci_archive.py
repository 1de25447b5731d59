"""What a container sees of an image's layers: later ones add to, replace and remove what earlier ones have."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

from catchup_dev import oci_archive

if TYPE_CHECKING:
    from pathlib import Path


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _archive(path: Path, *layers: dict[str, bytes]) -> Path:
    blobs: dict[str, bytes] = {}

    def blob(content: bytes) -> dict[str, Any]:
        name = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{name}"] = content
        return {"digest": f"sha256:{name}", "size": len(content)}

    config = blob(json.dumps({"config": {"Labels": {"a": "b"}}}).encode())
    manifest = blob(json.dumps({"config": config, "layers": [blob(_tar(layer)) for layer in layers]}).encode())
    path.write_bytes(_tar({"index.json": json.dumps({"manifests": [manifest]}).encode(), **blobs}))
    return path


def test_files_are_as_the_last_layer_leaves_them(tmp_path: Path) -> None:
    archive = _archive(
        tmp_path / "image.tar",
        {"./etc/a": b"1", "etc/b": b"1", "opt/x/y": b"1", "opt/x/z": b"1", "var/f": b"1"},
        {"etc/a": b"2", "etc/.wh.b": b"", "opt/.wh.x": b"", "var/.wh..wh..opq": b"", "var/g": b"2"},
    )
    assert oci_archive.files(archive) == {"etc/a": b"2", "var/g": b"2"}
    assert oci_archive.files(archive, lambda path: path.startswith("etc/")) == {"etc/a": b"2"}


def test_the_digest_is_that_of_the_manifest(tmp_path: Path) -> None:
    archive = _archive(tmp_path / "image.tar", {"a": b"1"})
    with tarfile.open(archive) as tar:
        blob = tar.extractfile(f"blobs/{oci_archive.digest(archive).replace(':', '/')}")
        assert blob is not None
        content = blob.read()
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == oci_archive.digest(archive)
    assert oci_archive.config(archive)["config"]["Labels"] == {"a": "b"}
