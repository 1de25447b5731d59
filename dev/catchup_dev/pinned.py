"""Packages from PyPI that are no part of the Python environment: a file of pins with hashes, installed beside it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from catchup_dev.console import Failure

if TYPE_CHECKING:
    from pathlib import Path


def install(pins: Path, target: Path, *, todo: str) -> None:
    """Install what a file of pins names below a directory. Raises Failure, which ends with `todo`."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    options = ["--no-deps", "--require-hashes", "-r", str(pins), "--target", str(target)]
    done = subprocess.run([*pip, *options], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"What {pins.name} pins could not be had from PyPI.", log=done.stderr[-800:], todo=todo)
