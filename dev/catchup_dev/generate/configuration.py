"""docs/configuration.md, made from the schemas of the resources, the jobs' settings and the contract's constants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from catchup_contract.api import SYNC_INTERVALS_MINUTES
from catchup_contract.cadence import Cadence
from catchup_contract.env import Env
from catchup_contract.kinds import BACKOFF_LIMIT, KINDS, SYNC
from catchup_contract.outcomes import ADVICE, ExitCode
from catchup_dev.cluster.layout import CHECKOUT
from catchup_jobs.jobs.run.retries import retry_delays
from catchup_jobs.settings import Settings
from catchup_operator.options import VARIABLES

DEFINITIONS: Final = (CHECKOUT / "crds" / "userschedules.yaml", CHECKOUT / "crds" / "schedulepools.yaml")

_HEADER: Final = """# Configuration

Five places hold settings, each with one owner: a **UserSchedule** says when one user's jobs run, a **SchedulePool** how
often the pods of many users look who is due, the **chart's values** say what an installation is made of, and they
become the **environment** of the operator and of the jobs' pods. What `contract/` fixes cannot be set; it stands at the
end.
"""
_REASONS: Final = """## Reasons

Why a run ended as it did: `lastReason` in the status of a UserSchedule, the reason of its conditions, and in lower case
the column REASON of `runs list` and `failures list`. A reason that somebody must act on makes the condition `False`,
also where the run did not fail.
"""
_EXITS: Final = {
    ExitCode.DONE: "done, or nothing to do; the summary has the reason",
    ExitCode.PERMANENT: "permanent for this run: budget spent, bad data, unknown user",
    ExitCode.TEMPORARY: "temporary: try again",
    ExitCode.MISCONFIGURED: "misconfigured: missing setting, wrong key, refused credentials",
}


def page() -> str:
    """Return the text of docs/configuration.md."""
    parts = [
        _HEADER,
        *(part for path in DEFINITIONS for part in _spec(path)),
        "## The chart\n\nEvery value and its default: [helm/catchup-jobs/README.md](../helm/catchup-jobs/README.md).\n",
        "## The operator\n",
        _table(("variable", "default", "what it is"), ((f"`{name}`", *rest) for name, *rest in VARIABLES)),
        "## The jobs and `catchup-jobs`\n\nAn empty value is as if the variable were not set.\n",
        _table(("variable", "what it is"), _variables()),
        "## Fixed by the contract\n",
        _table(("what", "value"), _constants()),
        _REASONS,
        _table(("reason", "somebody must act", "what it means and what to do"), _reasons()),
    ]
    return "\n".join(parts)


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines) + "\n"


def _spec(path: Path) -> Iterator[str]:
    spec = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]
    schema, names = spec["versions"][0]["schema"]["openAPIV3Schema"], spec["names"]
    yield f"## {names['kind']}\n\n`kubectl explain {names['singular']}.spec --recursive` says the same.\n"
    yield _table(("field", "type", "what it is"), _fields(schema["properties"]["spec"], "spec"))


def _fields(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, ...]]:
    for name, child in schema["properties"].items():
        if "properties" in child:
            yield from _fields(child, f"{path}.{name}")
        else:
            allowed = f" ({', '.join(child['enum'])})" if "enum" in child else ""
            yield f"`{path}.{name}`", f"{child['type']}{allowed}", child["description"]


def _variables() -> Iterator[tuple[str, ...]]:
    for field in Settings.model_fields.values():
        yield f"`{field.validation_alias}`", str(field.description)
    yield f"`{Env.TERMINATION_LOG}`", "a file that the run's summary is written to; set by the operator and the chart"


def _constants() -> Iterator[tuple[str, ...]]:
    for kind in KINDS.values():
        delays = retry_delays(kind)
        after = ", ".join(f"{delay:.0f}" for delay in delays)
        yield f"{kind}: attempts of a run, over all pods", f"1, and {len(delays)} more after {after} s"
    yield "`backoffLimit` of a Job", str(BACKOFF_LIMIT)
    for kind in KINDS.values():
        deadlines = kind.deadlines
        yield f"{kind}: `startingDeadlineSeconds`, `activeDeadlineSeconds`", f"{deadlines.starting}, {deadlines.active}"
    usual = SYNC.deadlines.starting
    for every, minutes in SYNC_INTERVALS_MINUTES.items():
        if (starting := Cadence(minutes, 0).starting_deadline(usual)) != usual:
            yield f"{SYNC} with `every: {every}`: `startingDeadlineSeconds`", str(starting)
    for code in ExitCode:
        yield f"exit code {code.value}", _EXITS[code]


def _reasons() -> Iterator[tuple[str, ...]]:
    for reason, advice in ADVICE.items():
        yield f"`{reason.camel_case}`", "yes" if advice.act else "", advice.text
