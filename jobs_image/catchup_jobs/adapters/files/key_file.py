"""The key file of the default database: created once, readable by its owner only."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from catchup_jobs.jobs.run.errors import MisconfiguredError


def split_keys(text: str) -> list[str]:
    """Return keys that stand between commas or white space."""
    return text.replace(",", " ").split()


def read_or_make_key_file(path: Path) -> list[str]:
    """Return the keys in a file, newest first; a missing file is created with one new key.

    Two processes that create it at once get the same key.

    Raises:
        MisconfiguredError: the file cannot be read or made, or others may read it.
    """
    try:
        if not path.exists():
            _make(path)
        if path.stat().st_mode & 0o077:
            raise MisconfiguredError(f"others may read the key file {path}: run `chmod 600 {path}`")
        return split_keys(path.read_text(encoding="ascii"))
    except UnicodeDecodeError:
        raise MisconfiguredError(f"the key file {path} does not hold keys") from None
    except OSError as error:
        raise MisconfiguredError(f"cannot use the key file {path}: {error.strerror}") from None


def _make(path: Path) -> None:
    from cryptography.fernet import Fernet  # noqa: PLC0415 - only the process that creates the file needs it

    # Written under another name first (mkstemp uses mode 0600), then linked: a link never replaces a file.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(Fernet.generate_key() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
    finally:
        Path(temporary).unlink()
