"""`catchup-jobs` as processes forked from one that has imported everything: real ones, at a tenth of the price.

A forked process is like any other in all else: arguments, environment, files and connections of its own, and a signal
ends it alone. `python -m integration.jobs.nursery` is the one that forks. Orders come as lines of JSON on its standard
input; lines `started NUMBER PID` and `ended NUMBER CODE` go to its standard output.
"""

from __future__ import annotations

import atexit
import gc
import itertools
import json
import os
import pkgutil
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import catchup_jobs
from catchup_jobs import cli

ROOT: Final = Path(__file__).parents[3]
FORK_SECONDS: Final = 120.0


@dataclass(frozen=True)
class Forked:
    """One process; its exit code is minus the signal that killed it."""

    pid: Future[int] = field(default_factory=Future)
    exit_code: Future[int] = field(default_factory=Future)


class Nursery:
    """Starts processes and learns how they ended; for any thread."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._numbers = itertools.count(1)
        self._forked: dict[int, Forked] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, name="nursery", daemon=True).start()

    def fork(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        out: Path,
        err: Path,
        stdin: Path = Path(os.devnull),
        module: str = cli.__name__,
    ) -> Forked:
        """Run `main` of `catchup-jobs`, or of another module, with these arguments and nothing but this environment.

        What it prints is appended to the files.
        """
        forked = Forked()
        with self._lock:
            number = next(self._numbers)
            self._forked[number] = forked
            files = [str(stdin), str(out), str(err)]
            order = {
                "number": number,
                "module": module,
                "arguments": [*arguments],
                "environment": {**environment},
                "files": files,
            }
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        forked.pid.result(FORK_SECONDS)
        return forked

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            what, number, value = line.split()
            if what == "started":
                self._forked[int(number)].pid.set_result(int(value))
            else:
                self._forked.pop(int(number)).exit_code.set_result(int(value))


@contextmanager
def running(module: str = __name__, *arguments: str) -> Iterator[Nursery]:
    """Give a nursery until the block ends; `module` is the one to run, which serves."""
    paths = os.pathsep.join(str(ROOT / name) for name in ("contract", "jobs_image", "tests", "dev"))
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, "PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield Nursery(process)
        assert process.stdin is not None
        process.stdin.close()


@cache
def shared() -> Nursery:
    """Return the nursery of this process's tests."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(running())


def run(
    arguments: Sequence[str], environment: Mapping[str, str], *, stdin: str = "", seconds: float = 180.0
) -> tuple[int, str, str]:
    """Run a command to its end; return its exit code, standard output and standard error."""
    with tempfile.TemporaryDirectory() as directory:
        given, out, err = (Path(directory) / name for name in ("in", "out", "err"))
        given.write_text(stdin, encoding="utf-8")
        forked = shared().fork(arguments, environment, stdin=given, out=out, err=err)
        try:
            code = forked.exit_code.result(seconds)
        except TimeoutError:
            os.kill(forked.pid.result(), signal.SIGKILL)
            raise
        return code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8")


class Forking:
    """The process that forks and buries."""

    def __init__(self) -> None:
        for module in pkgutil.walk_packages(catchup_jobs.__path__, f"{catchup_jobs.__name__}."):
            import_module(module.name)
        for client in ("psycopg", "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite"):
            import_module(client)
        self._selector = selectors.DefaultSelector()
        self._selector.register(0, selectors.EVENT_READ)
        self._living: dict[int, tuple[int, int]] = {}
        self._unread = b""

    def serve(self) -> None:
        """Serve until standard input is closed."""
        gc.collect()
        gc.freeze()
        while True:
            for key, _ in self._selector.select():
                if key.fd in self._living:
                    self._bury(key.fd)
                elif not self._read():
                    return

    def _read(self) -> bool:
        data = os.read(0, 65536)
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._bear(json.loads(line))
        return bool(data)

    def _bear(self, order: dict[str, Any]) -> None:
        pid = os.fork()
        if pid == 0:
            _live(order)
        handle = os.pidfd_open(pid)
        self._living[handle] = (order["number"], pid)
        self._selector.register(handle, selectors.EVENT_READ)
        _tell(f"started {order['number']} {pid}")

    def _bury(self, handle: int) -> None:
        number, pid = self._living.pop(handle)
        self._selector.unregister(handle)
        os.close(handle)
        _, status = os.waitpid(pid, 0)
        _tell(f"ended {number} {os.waitstatus_to_exitcode(status)}")


def _tell(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def _live(order: dict[str, Any]) -> None:
    """Be the command; never returns."""
    for target, name in enumerate(order["files"]):
        flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND if target else os.O_RDONLY
        os.dup2(os.open(name, flags, 0o600), target)
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = ["catchup-jobs", *order["arguments"]]
    code: Any = 1
    try:
        import_module(order["module"]).main()
    except SystemExit as ending:
        code = ending.code or 0
    except BaseException:  # noqa: BLE001 - the end of the process
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    Forking().serve()
