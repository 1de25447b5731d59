"""Background processes that outlive the command that started them, and are never confused with anybody else's.

A pid alone is no identity: it is reused. So a process is known by pid, start time and boot, and it writes these
itself before it becomes the program: there is no moment in which it runs but nobody has its pid, whenever the
starter is killed.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from catchup_dev.console import Failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
START_SECONDS = 60.0
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The inner shell notes its own /proc entry and then turns into the program, keeping pid and start time. The outer
# one returns at once, so that the program is nobody's child and leaves no zombie here.
_NOTE_AND_EXEC = f'p=$1; shift; cat "/proc/$$/stat" {BOOT_ID} > "$p.new" && mv "$p.new" "$p" && unset p && exec "$@"'
_DETACH = f'l=$1; shift; setsid sh -c \'{_NOTE_AND_EXEC}\' catchup-dev "$@" </dev/null >>"$l" 2>&1 &'
_STATE, _START_TIME = 0, 19  # positions in /proc/PID/stat behind the program's name


@dataclass(frozen=True)
class Identity:
    """Which process it was: a later one with the same pid differs in start time or boot."""

    pid: int
    started: str
    boot: str


def _parse(stat: str, boot: str) -> tuple[Identity, str]:
    pid, rest = stat.split(" ", 1)
    fields = rest.rsplit(")", 1)[1].split()
    return Identity(int(pid), fields[_START_TIME], boot), fields[_STATE]


def is_running(identity: Identity) -> bool:
    """Whether exactly this process still runs; a zombie does not."""
    try:
        now, state = _parse(Path(f"/proc/{identity.pid}/stat").read_text(), BOOT_ID.read_text().strip())
    except (OSError, ValueError, IndexError):
        return False
    return now == identity and state not in {"Z", "X"}


def identify(pid: int) -> Identity | None:
    """The process that has this pid now."""
    try:
        return _parse(Path(f"/proc/{pid}/stat").read_text(), BOOT_ID.read_text().strip())[0]
    except (OSError, ValueError, IndexError):
        return None


def run_tool(
    command: Sequence[str],
    *,
    shown: str,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    accept: tuple[int, ...] = (0,),
) -> str:
    """Run a program to its end; its output, or a Failure that names it as `shown`, with what it said."""
    done = subprocess.run(command, env=env, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode not in accept:
        raise Failure(f"`{shown}` failed.", log=done.stderr or done.stdout)
    return done.stdout


class Daemon:
    """One named background process with its pid file, log and a stamp of what it was started with."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        self._pidfile = directory / f"{name}.pid"
        self._stampfile = directory / f"{name}.stamp"

    def identity(self) -> Identity | None:
        """The process of the pid file, alive or not; None where none was started."""
        try:
            stat, boot = self._pidfile.read_text().strip().rsplit("\n", 1)
            return _parse(stat, boot)[0]
        except (OSError, ValueError, IndexError):
            return None

    @property
    def pid(self) -> int | None:
        """The pid while it runs, else None."""
        identity = self.identity()
        return identity.pid if identity and is_running(identity) else None

    def alive(self) -> bool:
        """Return whether the process that was started runs."""
        return self.pid is not None

    def runs_with(self, stamp: str) -> bool:
        """Whether it runs and was started with what `stamp` stands for."""
        return self.alive() and self._stampfile.exists() and self._stampfile.read_text() == stamp

    def start(self, argv: Sequence[str], *, stamp: str = "", env: Mapping[str, str] | None = None) -> None:
        """Start detached from this process and its terminal; a running one is left alone."""
        if self.alive():
            return
        self._pidfile.parent.mkdir(parents=True, exist_ok=True)
        self._pidfile.unlink(missing_ok=True)
        self._stampfile.write_text(stamp)
        subprocess.run(
            ["sh", "-c", _DETACH, "catchup-dev", str(self.log), str(self._pidfile), *argv],
            check=True,
            cwd="/",
            env={"PATH": SYSTEM_PATH, **(env or {})},
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._pidfile.exists():
            if time.monotonic() > deadline:
                raise Failure(f"{self.name} could not be started.", log=self.log_tail(), todo="see its log.")
            time.sleep(0.002)

    def stop(self, grace: float = 5.0) -> None:
        """End it: by SIGTERM, and by SIGKILL after `grace` seconds."""
        stop_all([self], grace)

    def log_tail(self, lines: int = 8) -> str:
        """Return the last lines of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def forget(self) -> None:
        """Drop the notes about a process that is over."""
        self._pidfile.unlink(missing_ok=True)
        self._stampfile.unlink(missing_ok=True)


def stop_all(daemons: Iterable[Daemon], grace: float = 5.0) -> None:
    """End them side by side: ask, wait up to `grace` seconds for all together, then kill what is left."""
    handles: dict[int, int] = {}
    daemons = list(daemons)
    try:
        for daemon in daemons:
            identity = daemon.identity()
            if identity is None:
                continue
            try:
                handle = os.pidfd_open(identity.pid)
            except OSError:
                continue
            if not is_running(identity):  # checked after the handle is held, so the pid can't change hands
                os.close(handle)
                continue
            handles[handle] = identity.pid
        for round_signal, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
            _signal_and_wait(handles, round_signal, patience)
    finally:
        for handle in handles:
            os.close(handle)
    for daemon in daemons:
        daemon.forget()


def _signal_and_wait(handles: dict[int, int], number: signal.Signals, patience: float) -> None:
    """Signal every process and wait; those that ended leave `handles`."""
    if patience <= 0:
        return
    for handle in handles:
        try:
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            continue
    deadline = time.monotonic() + patience
    while handles and (left := deadline - time.monotonic()) > 0:
        ended, _, _ = select.select(list(handles), [], [], left)
        for handle in ended:
            os.close(handle)
            del handles[handle]
