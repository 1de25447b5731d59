"""Background processes: known by more than their pid, ended for sure."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from waiting import eventually

from catchup_dev.processes import Daemon, stop_all

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon("sleeper", tmp_path)
    yield made
    made.stop(grace=0)


def test_its_life_from_start_to_end(daemon: Daemon) -> None:
    assert not daemon.alive()
    daemon.start(["sleep", "60"], stamp="one")
    pid = daemon.pid
    assert pid is not None
    # Noted before it becomes the program, and in between its command line is empty.
    eventually(lambda: Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0] == "sleep")
    assert daemon.runs_with("one")
    assert not daemon.runs_with("two")
    daemon.start(["sleep", "60"])  # runs already
    assert daemon.pid == pid
    daemon.stop()
    assert not daemon.alive()
    assert daemon.identity() is None


def test_another_object_knows_it_by_its_files(daemon: Daemon, tmp_path: Path) -> None:
    daemon.start(["sleep", "60"])
    assert Daemon("sleeper", tmp_path).pid == daemon.pid


def test_its_words_are_in_its_log(daemon: Daemon) -> None:
    daemon.start(["sh", "-c", 'echo out "$1"; echo error >&2', "sh", "a  'quoted' word"])
    while daemon.alive():
        time.sleep(0.005)
    assert daemon.log_tail() == "out a  'quoted' word\nerror"
    assert daemon.log_tail(1) == "error"


def test_what_ignores_the_request_is_killed(daemon: Daemon) -> None:
    daemon.start(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"])
    while daemon.log_tail() != "ready":
        time.sleep(0.005)
    daemon.stop(grace=0.1)
    assert not daemon.alive()


def test_several_end_in_the_time_of_one(tmp_path: Path) -> None:
    daemons = [Daemon(f"sleeper-{number}", tmp_path) for number in range(4)]
    for daemon in daemons:
        waits = f"touch {tmp_path}/$0.asked; until [ $(ls {tmp_path}/*.asked | wc -l) = 4 ]; do sleep 0.02; done"
        ends = f"trap '{waits}; echo ended; exit' TERM; echo ready; while :; do sleep 0.02; done"
        daemon.start(["sh", "-c", ends, daemon.name])
        while daemon.log_tail() != "ready":
            time.sleep(0.005)
    # Each ends only when all were asked to; one after the other they would be killed.
    stop_all(daemons, grace=60)
    assert [daemon.log_tail(1) for daemon in daemons] == ["ended"] * 4
    assert not any(daemon.alive() for daemon in daemons)


def test_a_pid_that_was_used_again_is_not_it(daemon: Daemon, tmp_path: Path) -> None:
    daemon.start(["sleep", "60"])
    pidfile = tmp_path / "sleeper.pid"
    real = pidfile.read_text()
    stat, boot = real.strip().rsplit("\n", 1)
    fields = stat.split(" ")
    fields[21] = str(int(fields[21]) - 1)
    pidfile.write_text(" ".join(fields) + "\n" + boot + "\n")
    pid = int(fields[0])
    assert daemon.pid is None
    daemon.stop()
    assert Path(f"/proc/{pid}").exists(), "a stranger was signalled"
    pidfile.write_text(real)
