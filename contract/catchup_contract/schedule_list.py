"""The UserSchedules of all served namespaces, as the operator hands them to the pods of the pools of one namespace.

All pools share one database, so that each must know whom UserSchedules elsewhere name. The operator writes the list
into ConfigMaps, in parts by a hash of the user's id, beside an index with the hash of each part. A pod mounts them as
files. Kubernetes updates mounted files one ConfigMap at a time, so a pod may see parts of different age: such a list
still says who is on it, but not who is off it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from catchup_contract.api import DEFAULT_PRIORITY
from catchup_contract.cadence import stable_hash
from catchup_contract.kinds import DIGEST, SYNC, Kind

REQUEST_FIELDS: Final = {SYNC: "sync_requested_at", DIGEST: "digest_requested_at"}
"""The fields of a `ListedSchedule` that name requests by hand, by kind of job."""
INDEX_FILE: Final = "index.json"
"""The file with the hashes of the parts, and the order of the list: `{"parts": ["<sha256>", ...], "order": 1}`."""
SCHEDULES_PER_PART: Final = 2000
"""How many UserSchedules a part has on average before the number of parts is doubled; some 100 bytes each."""
ORDER_MAX: Final = 10**15 - 1
"""The largest order of a list of UserSchedules (milliseconds since 1970)."""
PARTS_MAX: Final = 64
"""The largest number of parts of a list of UserSchedules."""


class InvalidListError(ValueError):
    """A file is not part of a list of UserSchedules; the text has nothing of its content."""


@dataclass(frozen=True, slots=True, order=True)
class ListedSchedule:
    """What a pool's pod must know of one UserSchedule.

    Attributes:
        user_id: the user.
        uid: of the UserSchedule.
        generation: of the UserSchedule; a larger one of the same uid is newer.
        pool: the SchedulePool of this namespace that serves it, empty where CronJobs of its own do, and for a
            UserSchedule of another namespace.
        sync_every: a key of `api.SYNC_INTERVALS_MINUTES`, empty where the sync is disabled.
        digest_day: a day or `Daily`, empty where the digest is disabled.
        digest_time: `HH:MM`, the time by which the digest is sent: the chosen one, moved within the operator's spread.
        priority: one of `api.PRIORITIES`.
        is_served: False where it is suspended or invalid, an older UserSchedule serves the user, or its pool is not
            there. Enrolment in the database does not serve the user then either.
        digest_since: since when digests are due (RFC 3339, UTC), empty where unknown.
        suspended_until: until when it is suspended (RFC 3339, UTC), empty where it is not, or without an end.
        sync_requested_at, digest_requested_at: when a run by hand was asked for last (RFC 3339, UTC), empty for never.
        digest_chosen: the time that the UserSchedule says, `HH:MM`, where `digest_time` is another.
        edited_at: when the operator saw that the times of a pool's member had changed (RFC 3339, UTC), empty where they
            have not.
    """

    user_id: str
    uid: str
    generation: int
    pool: str = ""
    time_zone: str = ""
    sync_every: str = ""
    digest_day: str = ""
    digest_time: str = ""
    priority: str = DEFAULT_PRIORITY
    is_served: bool = True
    digest_since: str = ""
    digest_chosen: str = ""
    suspended_until: str = ""
    sync_requested_at: str = ""
    digest_requested_at: str = ""
    edited_at: str = ""

    def has(self, kind: Kind) -> bool:
        """Return whether the UserSchedule has a kind of job enabled, the sync or the digest."""
        return bool(self.sync_every if kind is SYNC else self.digest_day)


@dataclass(frozen=True, slots=True)
class ScheduleList:
    """The UserSchedules that could be read.

    Attributes:
        is_complete: whether all parts are there and of one age: only then a UserSchedule that is not listed does not
            exist.
        digest: the hash of the index: equal lists have equal hashes.
        order: a larger one is newer; None of an operator that does not say it.
    """

    schedules: tuple[ListedSchedule, ...]
    is_complete: bool
    digest: str
    order: int | None = None


def part_name(number: int) -> str:
    """Return the file of a part, e.g. `part-03.json.gz`."""
    return f"part-{number:02}.json.gz"


def encode(schedules: Iterable[ListedSchedule], parts: int | None = None, *, order: int = 0) -> dict[str, bytes]:
    """Return the files of a list by name: the index and each part. The same list always gives the same files.

    Args:
        schedules: the UserSchedules.
        parts: how many parts; by default the smallest power of two that suffices.
        order: see `ScheduleList`.
    """
    ordered = sorted(schedules)
    number = parts or parts_for(len(ordered))
    split: list[list[dict[str, Any]]] = [[] for _ in range(number)]
    for schedule in ordered:
        split[part_of(schedule.user_id, number)].append(_document(schedule))
    contents = [json.dumps(part, separators=(",", ":")).encode() for part in split]
    index = {"order": order, "parts": [hashlib.sha256(content).hexdigest() for content in contents]}
    # Without a time in its header, so that the same content gives the same bytes.
    files = {part_name(place): gzip.compress(content, mtime=0) for place, content in enumerate(contents)}
    return {INDEX_FILE: json.dumps(index, separators=(",", ":")).encode(), **files}


def parts_for(schedules: int) -> int:
    """Return into how many parts a list of so many UserSchedules is split: a power of two."""
    parts = 1
    while parts < PARTS_MAX and schedules > parts * SCHEDULES_PER_PART:
        parts *= 2
    return parts


def part_of(user_id: str, parts: int) -> int:
    """Return the number of the part that has a user's UserSchedules."""
    return stable_hash("schedule-list", user_id) % parts


def decode(files: Mapping[str, bytes]) -> ScheduleList:
    """Read what `encode` wrote, of which files may be missing or of different age.

    Raises:
        InvalidListError: the index is missing, or a file cannot be read.
    """
    if INDEX_FILE not in files:
        raise InvalidListError(f"the list of UserSchedules has no {INDEX_FILE}")
    hashes, order = _read_index(files[INDEX_FILE])
    schedules: list[ListedSchedule] = []
    is_complete = True
    for place, expected in enumerate(hashes):
        compressed = files.get(part_name(place))
        if compressed is None:
            is_complete = False
            continue
        content, read = _read_part(part_name(place), compressed)
        schedules += read
        is_complete = is_complete and hashlib.sha256(content).hexdigest() == expected
    return ScheduleList(tuple(schedules), is_complete, hashlib.sha256(files[INDEX_FILE]).hexdigest(), order)


def order_of(index: bytes | None) -> int:
    """Return the order that an index says; 0 where there is none, or it cannot be read."""
    try:
        return _read_index(index or b"")[1] or 0
    except InvalidListError:
        return 0


def order_after(order: int, now: datetime) -> int:
    """Return the order of a list that is made after one of `order`, at `now` (aware).

    By the clock, so that it also follows lists of which nothing is known any more, as after a backup was restored.
    """
    return max(order + 1, int(now.timestamp() * 1000))


def _document(schedule: ListedSchedule) -> dict[str, Any]:
    # Most fields of most UserSchedules have their default.
    return {name: value for name, value in asdict(schedule).items() if value != _DEFAULTS.get(name)}


_EXAMPLE: Final = asdict(ListedSchedule("", "", 0))
_DEFAULTS: Final = {name: value for name, value in _EXAMPLE.items() if name not in {"user_id", "uid", "generation"}}


def _read_index(content: bytes) -> tuple[list[Any], int | None]:
    try:
        index = json.loads(content)
        hashes, order = index["parts"], index.get("order")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        hashes, order = None, None
    is_order = order is None or (type(order) is int and 0 <= order <= ORDER_MAX)
    if not (isinstance(hashes, list) and 1 <= len(hashes) <= PARTS_MAX and is_order):
        raise InvalidListError(f"{INDEX_FILE} is not the index of a list of UserSchedules")
    return hashes, order


def _read_part(name: str, compressed: bytes) -> tuple[bytes, list[ListedSchedule]]:
    try:
        content = gzip.decompress(compressed)
        return content, [_schedule(document) for document in json.loads(content)]
    except (OSError, EOFError, zlib.error, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InvalidListError(f"{name} is not part of a list of UserSchedules") from None


def _schedule(document: Mapping[str, Any]) -> ListedSchedule:
    # A newer operator may write fields that this version does not have.
    known = {name: value for name, value in document.items() if name in ListedSchedule.__dataclass_fields__}
    schedule = ListedSchedule(**known)
    for name, value in asdict(schedule).items():
        if type(value) is not type(_EXAMPLE[name]):
            raise TypeError(name)
    return schedule
