"""Where a machine without any setting keeps its database and its keys."""

from __future__ import annotations

import os
from pathlib import Path

from catchup_contract.env import Env
from catchup_jobs.jobs.run.errors import MisconfiguredError


def data_directory() -> Path:
    """Return `catchup-jobs` under `$XDG_DATA_HOME` (`~/.local/share`), which is made for its owner only.

    Raises:
        MisconfiguredError: it cannot be made.
    """
    try:
        base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
        directory = Path(base) / "catchup-jobs"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        raise MisconfiguredError(
            f"no place for the default database ({error.__class__.__name__}): set {Env.DATABASE_URL}, or"
            " XDG_DATA_HOME to a directory that can be written"
        ) from None
    return directory
