"""What the operator, the chart and the jobs agree on; the only module of the jobs that the operator imports.

Standard library only: the operator's image has none of the jobs' dependencies. A name, a label, an exit code or a
default that two sides must share stands here and nowhere else.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
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

# Local times between which an SMS would disturb.
QUIET_FROM: Final = "21:00"
QUIET_UNTIL: Final = "08:00"

# Minutes that divide an hour or hours that divide a day: what cron can express evenly.
SYNC_INTERVALS_MINUTES: Final = {
    **{f"{minutes}m": minutes for minutes in (5, 6, 10, 12, 15, 20, 30)},
    **{f"{hours}h": hours * 60 for hours in (1, 2, 3, 4, 6, 8, 12, 24)},
}
DIGEST_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "Daily")
USER_ID_PATTERN: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
TIME_OF_DAY_PATTERN: Final = r"([01][0-9]|2[0-3]):[0-5][0-9]"

BACKOFF_LIMIT: Final = 3
RETRY_DELAYS_SECONDS: Final = (2.0, 4.0, 8.0)
LEASE_MARGIN_SECONDS: Final = 60


class Job(StrEnum):
    """The kinds of background work; the values are also the subcommands of `catchup-jobs` and the label values."""

    SYNC = "sync"
    DIGEST = "digest"
    SUGGESTIONS = "suggestions"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Deadlines of one kind of job, in seconds."""

    starting: int
    active: int


DEADLINES: Final = {
    Job.SYNC: Deadlines(starting=600, active=600),
    Job.DIGEST: Deadlines(starting=7200, active=900),
    Job.SUGGESTIONS: Deadlines(starting=7200, active=10800),
}


class Env(StrEnum):
    """Environment variables that the operator and the chart set in a job's pod."""

    TIME_ZONE = "CATCHUP_TIME_ZONE"
    DIGEST_DAY = "CATCHUP_DIGEST_DAY"
    DIGEST_TIME = "CATCHUP_DIGEST_TIME"
    DIGEST_SINCE = "CATCHUP_DIGEST_SINCE"  # what was due before, while suspended, is not caught up on
    SYNC_EVERY = "CATCHUP_SYNC_EVERY"
    CRONJOB_NAME = "CATCHUP_CRONJOB_NAME"
    JOB_NAME = "CATCHUP_JOB_NAME"
    JOB_UID = "CATCHUP_JOB_UID"
    POD_UID = "CATCHUP_POD_UID"
    DEADLINE_SECONDS = "CATCHUP_DEADLINE_SECONDS"
    TERMINATION_LOG = "CATCHUP_TERMINATION_LOG"
    LOG_FORMAT = "CATCHUP_LOG_FORMAT"
    DATABASE_URL = "CATCHUP_DATABASE_URL"
    REDIS_URL = "CATCHUP_REDIS_URL"
    ENCRYPTION_KEYS = "CATCHUP_ENCRYPTION_KEYS"
    GOOGLE_CLIENT_ID = "CATCHUP_GOOGLE_CLIENT_ID"
    GOOGLE_CLIENT_SECRET = "CATCHUP_GOOGLE_CLIENT_SECRET"  # noqa: S105 - the variable's name
    GOOGLE_API_ENDPOINT = "CATCHUP_GOOGLE_API_ENDPOINT"
    GOOGLE_TOKEN_URI = "CATCHUP_GOOGLE_TOKEN_URI"  # noqa: S105 - the variable's name
    GOOGLE_PROJECT_QUOTA = "CATCHUP_GOOGLE_PROJECT_QUOTA"
    GOOGLE_USER_QUOTA = "CATCHUP_GOOGLE_USER_QUOTA"
    GOOGLE_AUTH_URI = "CATCHUP_GOOGLE_AUTH_URI"  # of the consent page; only `calendar connect --installed-app` reads it
    TWILIO_ACCOUNT_SID = "CATCHUP_TWILIO_ACCOUNT_SID"
    TWILIO_AUTH_TOKEN = "CATCHUP_TWILIO_AUTH_TOKEN"  # noqa: S105 - the variable's name
    TWILIO_FROM = "CATCHUP_TWILIO_FROM"
    TWILIO_MESSAGING_SERVICE_SID = "CATCHUP_TWILIO_MESSAGING_SERVICE_SID"
    TWILIO_API_BASE_URL = "CATCHUP_TWILIO_API_BASE_URL"  # tests and emulators
    SMTP_HOST = "CATCHUP_SMTP_HOST"
    SMTP_PORT = "CATCHUP_SMTP_PORT"
    SMTP_USERNAME = "CATCHUP_SMTP_USERNAME"
    SMTP_PASSWORD = "CATCHUP_SMTP_PASSWORD"  # noqa: S105 - the variable's name
    SMTP_FROM = "CATCHUP_SMTP_FROM"
    SMTP_SECURITY = "CATCHUP_SMTP_SECURITY"  # starttls, tls or none
    SMTP_CA_FILE = "CATCHUP_SMTP_CA_FILE"
    COMPLETION_INDEX = "JOB_COMPLETION_INDEX"  # set by Kubernetes in the pods of an Indexed Job
    ACTION_BASE_URL = "CATCHUP_ACTION_BASE_URL"
    SUGGESTION_SHARDS = "CATCHUP_SUGGESTION_SHARDS"


class ExitCode(IntEnum):
    """How a job's process ends (numbers of sysexits.h)."""

    DONE = 0
    PERMANENT = 65
    TEMPORARY = 75
    MISCONFIGURED = 78


class Outcome(StrEnum):
    """What became of a run."""

    DONE = "done"
    SKIPPED = "skipped"
    RETRY = "retry"
    FAILED = "failed"


class Reason(StrEnum):
    """Why a run ended as it did, where `done` alone does not say it."""

    PARTIAL = "partial"
    RECONNECT = "reconnect"
    NOT_CONNECTED = "not_connected"
    NOT_CONFIGURED = "not_configured"
    LOCKED = "locked"
    ALREADY_DONE = "already_done"
    TERMINATED = "terminated"
    DEADLINE = "deadline"
    UNAVAILABLE = "unavailable"
    BUDGET_SPENT = "budget_spent"
    BAD_DATA = "bad_data"
    UNKNOWN_USER = "unknown_user"
    MISCONFIGURED = "misconfigured"
    CRASHED = "crashed"
    CALENDAR_STALE = "calendar_stale"
    PAUSED = "paused"
    EMPTY = "empty"  # no suggestion to send
    LATE = "late"  # more than four hours after the due time
    NOT_DUE = "not_due"  # the slot serves no due date
    NO_CHANNEL = "no_channel"  # the user has no address, or does not want or may not get messages there
    QUIET_HOURS = "quiet_hours"
    UNDELIVERED = "undelivered"  # every message was refused for good
    UNCONFIRMED = "unconfirmed"  # a message may have been sent, and the provider does not list it


class Count(StrEnum):
    """Everything a summary may count."""

    CALENDARS = "calendars"
    CALENDARS_FAILED = "calendarsFailed"
    EVENTS_ADDED = "eventsAdded"
    EVENTS_CHANGED = "eventsChanged"
    EVENTS_REMOVED = "eventsRemoved"
    FREE_SLOTS = "freeSlots"
    API_REQUESTS = "apiRequests"
    PAGES = "pages"
    FULL_SYNCS = "fullSyncs"
    INCREMENTAL_SYNCS = "incrementalSyncs"
    USERS = "users"
    USERS_SKIPPED = "usersSkipped"
    USERS_PAUSED = "usersPaused"
    USERS_RECONNECT = "usersReconnect"
    USERS_NOT_CONNECTED = "usersNotConnected"
    USERS_CALENDAR_STALE = "usersCalendarStale"
    USERS_FAILED = "usersFailed"
    SUGGESTIONS_CREATED = "suggestionsCreated"
    SUGGESTIONS_MOVED = "suggestionsMoved"
    SUGGESTIONS_EXPIRED = "suggestionsExpired"
    DIGEST_ITEMS = "digestItems"
    SMS_SENT = "smsSent"
    EMAILS_SENT = "emailsSent"
    DELIVERIES_FAILED = "deliveriesFailed"
    DELIVERIES_UNKNOWN = "deliveriesUnknown"


SUMMARY_MAX_BYTES: Final = 4096
_COUNT_MAX: Final = 10**9


class InvalidSummaryError(ValueError):
    """A termination message is not a summary; its text never holds any of the message."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a job's pod says of its run: enums, counts and times only, never personal data.

    Written as JSON to the container's termination message (at most 4096 bytes, the limit of the kubelet) and
    read by the operator, which trusts no pod.
    """

    job: Job
    outcome: Outcome
    started_at: datetime
    finished_at: datetime
    attempts: int = 0
    reason: Reason | None = None
    counts: dict[Count, int] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the JSON text, e.g. `{"job":"sync","outcome":"done",...}`."""
        document: dict[str, object] = {
            "job": self.job,
            "outcome": self.outcome,
            "startedAt": format_utc(self.started_at),
            "finishedAt": format_utc(self.finished_at),
            "attempts": self.attempts,
            "counts": dict(self.counts),
        }
        if self.reason is not None:
            document["reason"] = self.reason
        return json.dumps(document, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Summary:
        """Read what `to_json` wrote.

        Raises:
            InvalidSummaryError: for anything else, however it is malformed.
        """
        if len(text.encode(errors="replace")) > SUMMARY_MAX_BYTES:
            raise InvalidSummaryError("longer than 4096 bytes")
        try:
            document = json.loads(text)
            return cls(
                job=Job(document["job"]),
                outcome=Outcome(document["outcome"]),
                started_at=parse_utc(document["startedAt"]),
                finished_at=parse_utc(document["finishedAt"]),
                attempts=_count(document["attempts"]),
                reason=Reason(document["reason"]) if "reason" in document else None,
                counts={Count(name): _count(value) for name, value in document["counts"].items()},
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InvalidSummaryError(f"not a run summary ({type(error).__name__})") from None


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _COUNT_MAX:
        raise ValueError("not a count")
    return value


def format_utc(instant: datetime) -> str:
    """Return an aware datetime in RFC 3339 UTC to the second, e.g. `2026-11-23T08:30:00Z`."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_utc(text: str) -> datetime:
    """Read what `format_utc` wrote. Raises ValueError or TypeError for anything else."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


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


def run_key(job: Job, subject: str, *, slot: datetime | None, manual_id: str) -> str:
    """Return the key under which a run is booked: one key is one run, however many Jobs or pods serve it.

    Args:
        job: the kind.
        subject: the user's id, or the shard for suggestions.
        slot: the slot served (UTC), or None for a manual run.
        manual_id: what tells one manual run from another (the Job's uid); used only without a slot.
    """
    return f"{job}:{subject}:{format_utc(slot) if slot else manual_id}"


_REPLAY: Final = re.compile(r"(.+):r([1-9]\d*)", re.ASCII | re.DOTALL)


def replay_key(key: str) -> str:
    """Return the key of the next replay of a run that was given up: `…:r1` of a run, `…:r2` of `…:r1`."""
    replay = _REPLAY.fullmatch(key)
    return f"{replay[1]}:r{int(replay[2]) + 1}" if replay else f"{key}:r1"
