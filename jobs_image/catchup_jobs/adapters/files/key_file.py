"""The key file of the default database: created once, readable by its owner only."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from catchup_jobs.jobs.run.errors import MisconfiguredError

if TYPE_CHECKING:
    from collections.abc import Callable

_LOST: Final = (
    "the key file {path} is gone, and the database holds what its keys protect ({lost}): put the file back, or its keys"
    " into CATCHUP_ENCRYPTION_KEYS; nothing was changed. Where the keys are lost for good, put a new one into the file:"
    " users must connect their calendars again, and addresses be imported again"
)


def split_keys(text: str) -> list[str]:
    """Return keys that stand between commas or white space."""
    return text.replace(",", " ").split()


def read_or_make_key_file(path: Path, needed_for: Callable[[], object | None] = lambda: None) -> list[str]:
    """Return the keys in a file, newest first; a missing file is created with one new key.

    Two processes that create it at once get the same key.

    Args:
        needed_for: returns what the keys of a missing file are needed for, as text, or None.

    Raises:
        MisconfiguredError: the file cannot be read or made, others may read it, or it is gone and needed.
    """
    try:
        if not path.exists():
            lost = needed_for()
            # Another process may have made it meanwhile, and sealed values.
            if lost is not None and not path.exists():
                raise MisconfiguredError(_LOST.format(path=path, lost=lost))
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
