"""Which names are a user's time zone: the rule of the UserSchedule's schema."""

from __future__ import annotations

import re
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_PATTERN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*", re.ASCII)
_MAX_LENGTH: Final = 64
# Names that the zone database holds, but which mean the machine's zone or none.
_EXCLUDED: Final = frozenset({"Local", "localtime", "posixrules", "Factory"})


def is_time_zone(name: str) -> bool:
    """Return whether the name is an IANA time zone that a user may have, such as `Europe/Berlin`."""
    if len(name) > _MAX_LENGTH or not _PATTERN.fullmatch(name) or name in _EXCLUDED:
        return False
    if name.startswith(("posix/", "right/")):
        return False
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
