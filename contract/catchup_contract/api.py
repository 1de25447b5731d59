"""The UserSchedule API: its names, labels, defaults and patterns, as `crds/userschedules.yaml` has them."""

from __future__ import annotations

from typing import Final

API_GROUP: Final = "catchup.dev"
API_VERSION: Final = "v1alpha1"
KIND: Final = "UserSchedule"
PLURAL: Final = "userschedules"

LABEL_JOB: Final = "catchup.dev/job"
LABEL_USER_SCHEDULE: Final = "catchup.dev/user-schedule"

DEFAULT_TIME_ZONE: Final = "Etc/UTC"
DEFAULT_SYNC_EVERY: Final = "30m"
DEFAULT_DIGEST_DAY: Final = "Sunday"
DEFAULT_DIGEST_TIME: Final = "09:00"
PRIORITIES: Final = ("low", "normal", "high")
DEFAULT_PRIORITY: Final = "normal"

# Minutes that divide an hour or hours that divide a day: what cron can express evenly.
SYNC_INTERVALS_MINUTES: Final = {
    **{f"{minutes}m": minutes for minutes in (5, 6, 10, 12, 15, 20, 30)},
    **{f"{hours}h": hours * 60 for hours in (1, 2, 3, 4, 6, 8, 12, 24)},
}
"""The intervals of the calendar sync that a UserSchedule may name; the enum in `crds/userschedules.yaml` lists the
same.
"""


def name_pattern(longest: int) -> str:
    """Return the pattern of the names of Kubernetes that begin and end with a letter or a digit."""
    return rf"[a-z0-9]([a-z0-9-]{{0,{longest - 2}}}[a-z0-9])?"


def name_form(longest: int) -> str:
    """Return what `name_pattern` admits, as messages say it."""
    return f"lower-case letters, digits and dashes, at most {longest} characters"


LABEL_MAX: Final = 63
"""Characters of a label of Kubernetes at most, such as the name of a namespace (RFC 1123)."""
# A label has it.
USER_ID_PATTERN: Final = name_pattern(LABEL_MAX)
USER_ID_FORM: Final = name_form(LABEL_MAX)
TIME_OF_DAY_PATTERN: Final = r"([01][0-9]|2[0-3]):[0-5][0-9]"
