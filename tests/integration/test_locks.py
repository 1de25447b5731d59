"""The pins of the images on other machines than this one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("platform", ["aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu"])
@pytest.mark.parametrize("lock", ["operator.txt", "jobs.txt", "uv.txt", "build.txt"])
@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_every_pin_has_a_wheel_for(lock: str, platform: str, python: str, tmp_path: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    options = ["--dry-run", "--only-binary=:all:", "--require-hashes", f"--target={tmp_path}"]
    place = [f"--python-platform={platform}", f"--python-version={python}"]
    command = [str(uv), "pip", "install", *options, *place, "-r", str(ROOT / "requirements" / lock)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
