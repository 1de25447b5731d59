"""Debian packages are installed by one apt at a time."""

from __future__ import annotations

import os
import stat
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from catchup_dev import packages
from catchup_dev.console import Console, Failure

if TYPE_CHECKING:
    from pathlib import Path

# Refuses to run twice at once, as apt-get does over the lock of its lists.
_APT = """#!/bin/sh
mkdir "{folder}/running" || {{ echo "Could not get lock /var/lib/apt/lists/lock"; exit 100; }}
echo "$*" >> "{folder}/calls"
for name in "$@"; do
  case "$name" in program-*) printf '#!/bin/sh\\n' > "{folder}/$name"; chmod +x "{folder}/$name";; esac
done
sleep 0.2
rmdir "{folder}/running"
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in PATH with an apt-get that puts the programs of its packages there."""
    apt = tmp_path / "apt-get"
    apt.write_text(_APT.format(folder=tmp_path))
    apt.chmod(apt.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(packages, "_services_stay_off", lambda *_: nullcontext())
    return tmp_path


def _installed(machine: Path) -> list[str]:
    return [call.split()[-1] for call in (machine / "calls").read_text().splitlines() if " install " in call]


def test_two_installations_at_once_run_one_after_the_other(machine: Path) -> None:
    failures: list[Failure] = []

    def install(program: str) -> None:
        try:
            packages.ensure({program: program}, Console(quiet=True))
        except Failure as failure:
            failures.append(failure)

    threads = [threading.Thread(target=install, args=(f"program-{name}",)) for name in ("node", "images")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert _installed(machine) in (["program-node", "program-images"], ["program-images", "program-node"])


def test_what_another_run_installed_meanwhile_is_not_installed_again(machine: Path) -> None:
    threads = [
        threading.Thread(target=packages.ensure, args=({"program-x": "program-x"}, Console(quiet=True)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert _installed(machine) == ["program-x"]


def test_a_failure_of_apt_is_shown_with_its_last_lines(machine: Path) -> None:
    (machine / "running").mkdir()

    with pytest.raises(Failure, match="Could not get lock"):
        packages.ensure({"program-y": "program-y"}, Console(quiet=True))
