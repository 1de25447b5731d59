"""What holds for all tiers."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings
from samples import IN_FULL, IS_SAMPLE, is_chosen

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

# The parameters of fixtures in `integration/conftest.py`.
DATABASES: Final = ("sqlite", "postgresql")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that are for both databases, and leave out what a sample leaves out."""
    for item in items:
        if _database_of(item) is not None:
            item.add_marker(pytest.mark.both_databases)
    if IS_SAMPLE:
        config.hook.pytest_deselected(items=[item for item in items if not _is_of_the_sample(item)])
        items[:] = [item for item in items if _is_of_the_sample(item)]


def _is_of_the_sample(item: pytest.Item) -> bool:
    database = _database_of(item)
    if item.get_closest_marker("release") is not None:
        return False
    return database is None or is_chosen(item.nodeid.replace(database, ""), DATABASES, database)


def _database_of(item: pytest.Item) -> str | None:
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    found = (parameters.get(name) for name in ("database_url", "empty_database_url"))
    return next((str(each) for each in found if each is not None), None)


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
# the choice. pytest keeps the folders of tests that failed; whatever else is left goes with this process.
if "TMPDIR" not in os.environ and _has_room():
    _folder = tempfile.mkdtemp(prefix="catchup-tests-", dir=_MEMORY)
    Path(_folder).chmod(0o711)  # PostgreSQL runs as another user
    atexit.register(shutil.rmtree, _folder, ignore_errors=True)
    os.environ["TMPDIR"] = tempfile.tempdir = _folder
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))
