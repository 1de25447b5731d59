"""What the operator is measured against: clients in Go that send the same writes (`dev/cluster/bench-anchor`)."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from catchup_dev import binaries
from catchup_operator.job_template import JobTemplate
from catchup_operator.manifests.dedicated import desired_cronjobs
from catchup_operator.manifests.names import fingerprint
from catchup_operator.manifests.template_hash import template_hash
from catchup_operator.schedule.user_schedule import UserSchedule
from catchup_operator.status import patches
from catchup_operator.status.job_section import active_since, cronjob_fields

PROGRAM: Final = "bench-anchor"
_UID: Final = "00000000-0000-4000-8000-000000000000"


def program() -> Path:
    """The path of the clients, which are built first where they are missing."""
    return binaries.ensure([PROGRAM])[PROGRAM]


def write_samples(path: Path, bodies: list[dict[str, Any]], template: JobTemplate) -> None:
    """Write what the operator would write for each of the UserSchedules, by their time zones."""
    samples = {body["spec"]["timeZone"]: _sample(body, template) for body in bodies}
    path.write_text(json.dumps(samples))


def _sample(body: dict[str, Any], template: JobTemplate) -> dict[str, Any]:
    now = datetime.now(UTC)
    body = {**body, "metadata": {**body["metadata"], "uid": _UID, "generation": 1}}
    schedule = UserSchedule.from_body(body)
    since = active_since(body, schedule, now=now)
    manifests = desired_cronjobs(schedule, template, since)
    fields = {}
    for kind, manifest in manifests.items():
        made = {"name": manifest["metadata"]["name"], "generation": 1, "uid": f"uid-of:{manifest['metadata']['name']}"}
        fields[kind] = cronjob_fields(manifest, fingerprint(manifest), made)
    patch = patches.reconciled(
        body, schedule, fields, template_hash=template_hash(template), active_since=since, now=now
    )
    return {
        "name": schedule.name,
        "uid": schedule.uid,
        "cronJobs": [
            {"name": each["metadata"]["name"], "manifest": json.dumps(each, separators=(",", ":"))}
            for each in manifests.values()
        ],
        "status": json.dumps({**(patch or {}), "servedBy": socket.gethostname()}, separators=(",", ":")),
    }
