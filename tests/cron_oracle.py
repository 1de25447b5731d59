"""The CronJob controller's cron library and Go's zones, asked through the program in `dev/cluster/cron-oracle`.

A controller has zone data of its own: the library gets that of another year than the product's.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from catchup_dev.binaries import ensure
from catchup_dev.cache import cached_directory, digest
from catchup_dev.pinned import install

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
_OLDER_ZONE_DATA = Path(__file__).with_name("older-zone-data.txt")


@dataclass(frozen=True)
class Firings:
    """A CronJob's schedule, and instants (Unix times) at which it must fire."""

    schedule: str
    due: list[int]
    time_zone: str = "Etc/UTC"


def transitions(zones: Iterable[str], start: int, end: int) -> list[list[tuple[int, int, int]]]:
    """Return per zone (instant, offset before, offset after) in seconds, by Go and the product's zone data."""
    requests = ({"timeZone": zone, "from": start, "to": end} for zone in zones)
    replies = _ask(requests, Path(str(resources.files("tzdata"))) / "zoneinfo")
    return [[(t["at"], t["before"], t["after"]) for t in reply.get("transitions") or ()] for reply in replies]


def missed(cases: Iterable[Firings], leads: tuple[int, ...] = LEADS) -> list[list[int]]:
    """Return per case the instants at which the controller's library would not fire, beginning that long before."""
    asked = ({"schedule": c.schedule, "timeZone": c.time_zone, "due": c.due, "lead": leads} for c in cases)
    return [reply.get("missed") or [] for reply in _ask(asked, older_zone_data())]


def fires(asked: Iterable[tuple[str, int, int]]) -> list[list[int]]:
    """Return per (schedule in UTC, start, end) when a CronJob fires after the start and not after the end."""
    requests = ({"schedule": cron, "timeZone": "Etc/UTC", "from": start, "to": end} for cron, start, end in asked)
    return [reply.get("fires") or [] for reply in _ask(requests, older_zone_data())]


def older_zone_data() -> Path:
    """Return a zone database of another year than the product's; taken from PyPI at the first call."""

    def make(scratch: Path) -> None:
        install(_OLDER_ZONE_DATA, scratch, todo="check that PyPI can be reached; then run this again.")

    return cached_directory(f"zone-data-{digest([_OLDER_ZONE_DATA.read_bytes()])}", make) / "tzdata" / "zoneinfo"


def _ask(requests: Iterable[dict[str, Any]], zone_data: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        [str(ensure(["cron-oracle"])["cron-oracle"])],
        input="\n".join(map(json.dumps, requests)),
        env={**os.environ, "ZONEINFO": str(zone_data)},
        capture_output=True,
        text=True,
        check=True,
    )
    replies: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert not [reply["error"] for reply in replies if "error" in reply]
    return replies
