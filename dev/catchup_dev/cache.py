"""The developer's cache: what is dear to make and the same for every checkout (binaries, base images).

Everything in it appears at once under its final name or not at all, and one maker at a time, so that a killed
build or two builds side by side never leave something half-done.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from catchup_dev.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_HASH_LENGTH = 16


def cache_root() -> Path:
    """`$XDG_CACHE_HOME/catchup-jobs`, made when missing."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    root = Path(base) / "catchup-jobs"
    root.mkdir(parents=True, exist_ok=True)
    return root


def digest(parts: Iterable[bytes | str]) -> str:
    """A short name for content: each part counts with its length, so that parts never run together."""
    total = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        total.update(f"{len(raw)}:".encode() + raw)
    return total.hexdigest()[:_HASH_LENGTH]


def digest_files(root: Path, files: Iterable[Path]) -> str:
    """The digest of files by their path below `root`, whether they may be run, and content."""
    parts: list[bytes | str] = []
    for path in sorted(files):
        parts += [str(path.relative_to(root)), str(path.stat().st_mode & 0o100), path.read_bytes()]
    return digest(parts)


@contextmanager
def locked(path: Path, console: Console | None = None) -> Iterator[None]:
    """Hold a file lock that ends with the process; says so when somebody else has it.

    The holder may delete the file at the end: whoever waited on a deleted file takes the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        handle = path.open("a")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            (console or Console()).say(f"  waiting for another run to finish ({path.name}) ...")
            fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            if path.stat().st_ino == os.fstat(handle.fileno()).st_ino:
                break
        except FileNotFoundError:
            pass
        handle.close()
    try:
        yield
    finally:
        handle.close()


def cached_directory(name: str, make: Callable[[Path], None], console: Console | None = None) -> Path:
    """The cached directory `name`; `make` fills it the first time."""
    target = cache_root() / name
    if target.exists():
        return target
    with locked(cache_root() / f".{name}.lock", console):
        if target.exists():  # made while this run waited
            return target
        prefix = f".{name}.making-"
        for dead in cache_root().glob(f"{prefix}*"):  # the lock is held: whoever made these is gone
            shutil.rmtree(dead, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=prefix, dir=cache_root()))
        scratch.chmod(0o755)
        try:
            make(scratch)
            scratch.rename(target)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
    return target
