"""A registry of images and charts on this machine (Debian's `docker-registry`), for the time of a block."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integration.services import find_program, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {root}}}}}
http: {{addr: "{address}"}}
"""


@dataclass(frozen=True)
class Registry:
    """Where it listens, without TLS."""

    address: str

    def read(self, path: str) -> dict[str, Any]:
        """Return what it answers, as JSON."""
        accept = "application/vnd.oci.image.manifest.v1+json"
        request = urllib.request.Request(f"http://{self.address}/v2/{path}", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def answers(self) -> bool:
        try:
            return self.read("") == {}
        except OSError:
            return False


@contextmanager
def registry(directory: Path, host: str = "127.0.0.1") -> Iterator[Registry]:
    """Run one with its files in that directory."""
    found = Registry(f"{host}:{free_port()}")
    config = directory / "registry.yml"
    config.write_text(_CONFIG.format(root=directory / "registry", address=found.address))
    command = [find_program("docker-registry", "usr/bin"), "serve", str(config)]
    with (directory / "registry.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until(found.answers, "the registry answers")
        yield found
    finally:
        process.kill()
        process.wait()
