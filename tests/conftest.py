"""What holds for all tiers."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, settings
from samples import IN_FULL

# A busy machine is no defect: no example is judged by the time that it took.
settings.register_profile(
    "untimed",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=100 if IN_FULL else 30,
)
# For the development loop: `make test-unit`.
settings.register_profile("quick", settings.get_profile("untimed"), max_examples=10)
settings.load_profile("untimed")

_MEMORY: Final = Path("/dev/shm")
# A run of all tests has up to two gigabytes of temporary files at a time: databases, a node's containers.
_ROOM_BYTES: Final = 4 * 2**30


def _has_room() -> bool:
    if not _MEMORY.is_dir() or not os.access(_MEMORY, os.W_OK):
        return False
    files = os.statvfs(_MEMORY)
    meminfo = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    available = int(meminfo["MemAvailable"].split()[0]) * 1024
    return files.f_bavail * files.f_frsize >= _ROOM_BYTES and available >= 2 * _ROOM_BYTES


# On a disk tests mostly wait for it: SQLite's commits, and PostgreSQL's copies of its template. xdist's workers inherit
# the choice.
if "TMPDIR" not in os.environ and _has_room():
    os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)
