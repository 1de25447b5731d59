"""The CronJob controller's cron library and Go's zones, asked through the program in `dev/cluster/cron-oracle`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Any

from catchup_dev.binaries import ensure

_HOUR = 3600
_DAY = 24 * _HOUR
# How long before a firing the controller may begin to ask, in seconds: since the last one, a deadline, an edit.
LEADS = (1, 2 * _HOUR, 7 * _DAY)
ALL_LEADS = (
    *LEADS,
    *(hours * _HOUR + 1800 for hours in range(4)),
    *(hours * _HOUR for hours in (1, 3, 6, 9, 12, 18, 24)),
    *(days * _DAY for days in range(2, 9)),
)


@dataclass(frozen=True)
class Firings:
    """A CronJob's schedule, and instants (Unix times) at which it must fire."""

    schedule: str
    time_zone: str
    due: list[int]


def transitions(zones: Iterable[str], start: int, end: int) -> list[list[tuple[int, int, int]]]:
    """Return per zone (instant, offset before, offset after) in seconds, by Go."""
    replies = _ask({"timeZone": zone, "from": start, "to": end} for zone in zones)
    return [[(t["at"], t["before"], t["after"]) for t in reply.get("transitions") or ()] for reply in replies]


def missed(cases: Iterable[Firings], leads: tuple[int, ...] = LEADS) -> list[list[int]]:
    """Return per case the instants at which the controller's library would not fire, beginning that long before."""
    asked = ({"schedule": c.schedule, "timeZone": c.time_zone, "due": c.due, "lead": leads} for c in cases)
    return [reply.get("missed") or [] for reply in _ask(asked)]


def fires(schedule: str, zone: str, start: int, end: int) -> list[int]:
    """Return when a CronJob fires after `start` and not after `end`."""
    (reply,) = _ask([{"schedule": schedule, "timeZone": zone, "from": start, "to": end}])
    found: list[int] = reply.get("fires") or []
    return found


def _ask(requests: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    database = resources.files("tzdata") / "zoneinfo"
    done = subprocess.run(
        [str(ensure(["cron-oracle"])["cron-oracle"])],
        input="\n".join(map(json.dumps, requests)),
        env={**os.environ, "ZONEINFO": str(database)},
        capture_output=True,
        text=True,
        check=True,
    )
    replies: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert not [reply["error"] for reply in replies if "error" in reply]
    return replies
