"""Locks for processes of one machine, where there is no Redis: lock files (`flock`).

The kernel releases a lock when its process ends. Attempts are counted in the run's row only.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from catchup_jobs.jobs.run.errors import MisconfiguredError
from catchup_jobs.jobs.run.ports import HeldBy, Lock


class FileLocks:
    """`jobs.run.ports.RunLocks` by lock files in a directory, which is made on first use."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def acquire(self, lock_name: str, run_key: str) -> Lock | HeldBy:
        """Take the lock, or return who holds it; does not wait.

        Raises:
            MisconfiguredError: the directory cannot be written.
        """
        path = self._directory / f"{lock_name.replace(':', '-')}.lock"
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise MisconfiguredError(f"cannot write the lock file {path}: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with os.fdopen(descriptor, encoding="utf-8") as file:
                return HeldBy(file.read())
        except OSError as error:
            os.close(descriptor)
            raise MisconfiguredError(f"cannot lock {path}: {error.strerror}; the file system must support it") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, run_key.encode(), 0)
        return _FileLock(descriptor)

    def attempts(self, run_key: str) -> int:  # noqa: ARG002 - the row's number is larger
        """Return 0: nothing is counted here."""
        return 0

    def record_attempt(self, run_key: str, attempt_id: str) -> int:  # noqa: ARG002 - the row's number is larger
        """Return 0: nothing is counted here."""
        return 0


class _FileLock:
    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def is_held(self) -> bool:
        """Whether it was not released."""
        return self._descriptor is not None

    def release(self) -> None:
        """Release the lock. The file stays: if it were removed, two processes could lock two files of one name."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None
