"""The list of UserSchedules that the operator mounts into a pool's pods."""

from __future__ import annotations

from pathlib import Path

from catchup_contract.schedule_list import INDEX_FILE, PARTS_MAX, InvalidListError, ScheduleList, decode, part_name
from catchup_jobs.jobs.run.errors import TemporaryError


def read_schedule_list(folder: Path) -> ScheduleList:
    """Read the list in a folder.

    Raises:
        TemporaryError: it is not there, or cannot be read: without it nobody knows whom UserSchedules serve.
    """
    names = [INDEX_FILE, *(part_name(place) for place in range(PARTS_MAX))]
    try:
        files = {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}
        return decode(files)
    except OSError as error:
        raise TemporaryError(f"the list of UserSchedules cannot be read ({error.strerror})") from None
    except InvalidListError as error:
        raise TemporaryError(str(error)) from None
