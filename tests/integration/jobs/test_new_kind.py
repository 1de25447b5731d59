"""A new kind of job needs one record and one body; everything else serves it by the tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from catchup_contract.summary import SUMMARY_MAX_BYTES

ROOT = Path(__file__).parents[3]


def catchup_jobs(home: Path, *arguments: str, code: int = 0, **environment: str) -> str:
    """Run the command with the kind `greeting` on the default database under a directory; return its output."""
    done = subprocess.run(
        [sys.executable, "-c", "from integration.jobs import new_kind; new_kind.main()", *arguments],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("contract", "jobs_image", "tests")),
            "XDG_DATA_HOME": str(home),
            "HOME": str(home),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def listed(home: Path, what: str, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(catchup_jobs(home, what, "list", *arguments, "--output", "json", code=code))
    return rows


def test_a_new_kind_runs_is_listed_gives_a_dead_letter_and_is_replayed(tmp_path: Path) -> None:
    assert "Greet a user." in catchup_jobs(tmp_path, "--help")
    summary = tmp_path / "summary"
    catchup_jobs(tmp_path, "greeting", "--user", "ada", CATCHUP_TERMINATION_LOG=str(summary))
    document = json.loads(summary.read_text(encoding="utf-8")[:SUMMARY_MAX_BYTES])
    assert (document["job"], document["outcome"], document["counts"]) == ("greeting", "done", {"users": 1})
    (run,) = listed(tmp_path, "runs", "--kind", "greeting")
    assert (run["kind"], run["subject"], run["state"]) == ("greeting", "ada", "done")

    # One retry is the kind's budget.
    catchup_jobs(tmp_path, "greeting", "--user", "bob", code=65, NOBODY_HOME="yes")
    (letter,) = listed(tmp_path, "failures", "--kind", "greeting", code=1)
    assert (letter["kind"], letter["user"], letter["attempts"]) == ("greeting", "bob", 2)
    assert f"failures retry {letter['runKey']}" in catchup_jobs(tmp_path, "failures", "show", letter["runKey"])
    catchup_jobs(tmp_path, "failures", "retry", letter["runKey"])
    assert listed(tmp_path, "failures") == []
    assert listed(tmp_path, "runs", "--user", "bob", "--state", "done")[0]["runKey"] == f"{letter['runKey']}:r1"
