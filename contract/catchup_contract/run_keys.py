"""The keys under which runs are booked, and the slot that a Job serves."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from catchup_contract.kinds import Kind
from catchup_contract.timestamps import format_utc

_SLOT_SUFFIX: Final = re.compile(r"[1-9]\d{0,8}", re.ASCII)


def slot_of(job_name: str, cronjob_name: str) -> datetime | None:
    """Return the slot (UTC) that a Job serves, or None for a manual run.

    The CronJob controller names a Job `<cronjob>-<slot in minutes since the epoch>`
    (`getJobName` in pkg/controller/cronjob/utils.go); `kubectl create job --from` leaves the name to the user.
    """
    prefix = f"{cronjob_name}-"
    if not cronjob_name or not job_name.startswith(prefix):
        return None
    suffix = job_name.removeprefix(prefix)
    return datetime.fromtimestamp(int(suffix) * 60, UTC) if _SLOT_SUFFIX.fullmatch(suffix) else None


def run_key(kind: Kind, subject: str, *, slot: datetime | None, manual_id: str) -> str:
    """Return the key under which a run is booked: one key is one run, however many Jobs or pods serve it.

    Args:
        subject: the user's id, or the shard for suggestions.
        slot: the slot served (UTC), or None for a manual run.
        manual_id: what tells one manual run from another (the Job's uid); used only without a slot.
    """
    return f"{kind}:{subject}:{format_utc(slot) if slot else manual_id}"


_REPLAY: Final = re.compile(r"(.+):r([1-9]\d*)", re.ASCII | re.DOTALL)


def replay_key(key: str) -> str:
    """Return the key of the next replay of a run that was given up: `…:r1` of a run, `…:r2` of `…:r1`."""
    replay = _REPLAY.fullmatch(key)
    return f"{replay[1]}:r{int(replay[2]) + 1}" if replay else f"{key}:r1"
