"""Reads the OCI archive that an image is kept in: its digest, labels, layers, and files."""

from __future__ import annotations

import io
import json
import posixpath
import tarfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_REMOVED, _EMPTIED = ".wh.", ".wh..wh..opq"  # https://github.com/opencontainers/image-spec/blob/main/layer.md


def digest(archive: Path) -> str:
    """Return the digest of the image's manifest, by which a registry names it."""
    with tarfile.open(archive) as tar:
        name: str = _json(tar, "index.json")["manifests"][0]["digest"]
        return name


def manifest(archive: Path) -> dict[str, Any]:
    """Return the manifest."""
    with tarfile.open(archive) as tar:
        return _json(tar, _blob(_json(tar, "index.json")["manifests"][0]["digest"]))


def config(archive: Path) -> dict[str, Any]:
    """Return the configuration, with what a container is started with and the labels."""
    with tarfile.open(archive) as tar:
        return _json(tar, _blob(manifest(archive)["config"]["digest"]))


def files(archive: Path, wanted: Callable[[str], bool] = lambda _: True) -> dict[str, bytes]:
    """Return the content of the files that a container sees, by path without the first slash.

    Args:
        wanted: whether to read a path; all are looked at.
    """
    found: dict[str, bytes] = {}
    with tarfile.open(archive) as tar:
        for layer in manifest(archive)["layers"]:
            blob = io.BytesIO(_read(tar, _blob(layer["digest"])))
            with tarfile.open(fileobj=blob) as content:
                _add_layer(found, content, wanted)
    return found


def _add_layer(found: dict[str, bytes], layer: tarfile.TarFile, wanted: Callable[[str], bool]) -> None:
    added: dict[str, bytes] = {}
    for member in layer:
        path = posixpath.normpath(member.name).lstrip("/")
        folder, name = posixpath.split(path)
        if name == _EMPTIED:
            _remove_below(found, folder)
        elif name.startswith(_REMOVED):
            gone = posixpath.join(folder, name.removeprefix(_REMOVED))
            found.pop(gone, None)
            _remove_below(found, gone)
        elif wanted(path) and (member.isfile() or member.islnk()):
            stream = layer.extractfile(member)
            added[path] = stream.read() if stream else b""
    found.update(added)


def _remove_below(found: dict[str, bytes], folder: str) -> None:
    for path in [path for path in found if path.startswith(f"{folder}/")]:
        del found[path]


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    member = tar.extractfile(name)
    return member.read() if member else b""


def _json(tar: tarfile.TarFile, name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(_read(tar, name))
    return loaded


def _blob(name: str) -> str:
    return f"blobs/{name.replace(':', '/')}"
