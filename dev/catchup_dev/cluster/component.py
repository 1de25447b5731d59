"""What all parts of a cluster have in common: a program, how it is started and how one sees that it works."""

from __future__ import annotations

import os
import re
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from catchup_dev.cache import digest
from catchup_dev.console import Failure
from catchup_dev.processes import SYSTEM_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from catchup_dev.processes import Daemon

_POLL_SECONDS = 0.03


@dataclass(frozen=True)
class Component:
    """One program of the cluster. `configs` are files it reads at its start: a change restarts it."""

    daemon: Daemon
    argv: Sequence[str]
    address: str
    probe: Callable[[], bool]
    configs: Sequence[Path] = field(default=())

    @property
    def name(self) -> str:
        """Its name, as of its log."""
        return self.daemon.name

    @property
    def stamp(self) -> str:
        """What it runs with; another one means that it must be started again."""
        return digest([*self.argv, *(path.read_bytes() for path in self.configs)])

    def healthy(self) -> bool:
        """Return whether it runs and answers its probe."""
        return self.daemon.alive() and self.probe()

    def version(self) -> str:
        """What the program says of itself."""
        program = next((part for part in self.argv if Path(part).name == self.name), "")
        path = f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"
        try:
            done = subprocess.run(
                [program, "--version"], capture_output=True, text=True, check=False, env={"PATH": path}
            )
        except OSError:
            return ""
        found = re.search(r"\bv?\d+\.\d+\.\d+", done.stdout)
        return found.group() if found else ""

    def ensure_started(self) -> None:
        """Start it, or start it anew when it runs with something else than what is wanted now."""
        stamp = self.stamp
        if not self.daemon.runs_with(stamp):
            self.daemon.stop()
            self.daemon.start(self.argv, stamp=stamp)


def await_healthy(components: Sequence[Component], seconds: float) -> None:
    """Wait until all work. One that answers nothing for a quarter of the time (stopped, hung) is started anew."""
    for component in components:
        started = time.monotonic()
        restarted = False
        while not component.healthy():
            waited = time.monotonic() - started
            hung = not restarted and waited > seconds / 4
            if hung:
                component.daemon.stop(grace=0)
                component.ensure_started()
                restarted = True
            elif not component.daemon.alive() or waited > seconds:
                state = "does not answer" if component.daemon.alive() else "ended"
                raise Failure(
                    f"{component.name} {state}.",
                    log=component.daemon.log_tail(),
                    todo=f"see {component.daemon.log}; run `up` again, or `down` and `up` for a new cluster.",
                )
            time.sleep(_POLL_SECONDS)
