"""Which files of its context a Dockerfile uses: they name the image, and nothing else is shown to the build.

So an image is built again when, and only when, something changed that can be in it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

from catchup_dev.console import Failure

_NEVER = {"__pycache__", ".git", ".venv", ".local", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
_COPY = re.compile(r"^\s*(?:COPY|ADD)\s+(.*)$", re.IGNORECASE)


def used_files(dockerfile: Path, context: Path) -> list[Path]:
    """The files of the context that COPY and ADD take."""
    found: set[Path] = set()
    for source in _sources(dockerfile.read_text()):
        matches = list(context.glob(source.strip("/") or "*"))
        if not matches:
            raise Failure(f"{dockerfile} copies {source}, which is not in {context}.")
        for match in matches:
            found.update(_files_below(match))
    return sorted(found)


def stage(files: list[Path], context: Path, target: Path) -> None:
    """Copy the files to `target` without their times, which would make equal layers differ."""
    for path in files:
        staged = target / path.relative_to(context)
        staged.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, staged)
    for directory, _, names in os.walk(target):
        for name in (*names, "."):
            os.utime(Path(directory) / name, (0, 0))


def _sources(text: str) -> list[str]:
    sources: list[str] = []
    for line in re.sub(r"\\\s*\n", " ", text).splitlines():
        match = _COPY.match(line)
        if not match:
            continue
        words = match.group(1).split()
        if any(word.startswith("--from=") for word in words):
            continue
        words = [word for word in words if not word.startswith("--")]
        if words and words[0].startswith("["):
            words = json.loads(" ".join(words))
        sources += words[:-1]
    return sources


def _files_below(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return [
        file for file in path.rglob("*") if file.is_file() and not _NEVER & set(file.parts) and file.suffix != ".pyc"
    ]
