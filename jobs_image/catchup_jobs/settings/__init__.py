"""The settings of a job's process: environment variables (`catchup_contract.env`), with defaults that suit a laptop.

Nothing set at all: a SQLite file and a key file under `$XDG_DATA_HOME` (`~/.local/share`), locks by files beside it.
PostgreSQL is for several machines, so it wants Redis and encryption keys; an explicit SQLite file wants keys.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, time
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import AwareDatetime, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsConfigDict

from catchup_contract.digest_rule import DigestDay
from catchup_contract.env import Env
from catchup_contract.kinds import Kind
from catchup_contract.pools import DEFAULT_TICK, Members, Off
from catchup_contract.run_keys import slot_of
from catchup_jobs.adapters.files.authorities import trust
from catchup_jobs.adapters.files.key_file import read_or_make_key_file, split_keys
from catchup_jobs.domain.planning.options import CONTACT_FROM, CONTACT_UNTIL, PlanningOptions, Strategy
from catchup_jobs.jobs.run.errors import MisconfiguredError
from catchup_jobs.settings.data_directory import data_directory
from catchup_jobs.settings.google import GoogleSettings
from catchup_jobs.settings.messaging import MessagingSettings
from catchup_jobs.settings.messaging import setting as _setting
from catchup_jobs.settings.times import Hours, Interval, Tick, TimeOfDay, TimeZone
from catchup_jobs.settings.web_addresses import Page

LogLevel = Literal["info", "warning", "error"]

_DATABASE_FILE: Final = "catchup.db"
_KEY_FILE: Final = "encryption.keys"
_CONTACT_HOURS: Final = f"{CONTACT_FROM:%H:%M}-{CONTACT_UNTIL:%H:%M}"


class Settings(GoogleSettings, MessagingSettings):
    """The settings. Secrets do not show in its `repr`."""

    model_config = SettingsConfigDict(
        extra="ignore",
        # A Secret made from a file ends with a newline.
        str_strip_whitespace=True,
        hide_input_in_errors=True,
        frozen=True,
        case_sensitive=True,
    )

    time_zone: TimeZone | None = _setting(Env.TIME_ZONE, "IANA zone of the user's schedule; set by the operator")
    digest_day: DigestDay | None = _setting(
        Env.DIGEST_DAY, "day of the digest, `Monday` to `Sunday` or `Daily`; set by the operator"
    )
    digest_time: TimeOfDay | None = _setting(Env.DIGEST_TIME, "local time of the digest, HH:MM; set by the operator")
    digest_since: AwareDatetime | None = _setting(
        Env.DIGEST_SINCE, "when the user's schedule was made or resumed (RFC 3339, UTC); set by the operator"
    )
    sync_every: Interval | None = _setting(Env.SYNC_EVERY, "time between two syncs, such as `30m`; set by the operator")
    cronjob_name: str = _setting(
        Env.CRONJOB_NAME, "the CronJob whose slots the run serves; set by the operator and the chart", default=""
    )
    job_name: str = _setting(
        Env.JOB_NAME, "the pod's Job, whose last part is the slot; set by the operator and the chart", default=""
    )
    job_uid: str | None = _setting(
        Env.JOB_UID, "tells a run that serves no slot from another; set by the operator and the chart"
    )
    pod_uid: str | None = _setting(
        Env.POD_UID, "tells this process from another; set by the operator and the chart. Default: a random one"
    )
    # A job stops before its deadline to close its run: with less time it could not begin. A week is beyond any job.
    deadline: int | None = _setting(
        Env.DEADLINE_SECONDS,
        "how long the process may take, in seconds. Default: the job's own, see below",
        ge=30,
        le=7 * 24 * 3600,
    )
    suggestion_shards: int | None = _setting(
        Env.SUGGESTION_SHARDS, "parts of the fleet for `suggestions`; set by the chart. Default: 1", ge=1
    )
    completion_index: int | None = _setting(
        Env.COMPLETION_INDEX, "which of these parts this process has, from 0; set by Kubernetes in an Indexed Job", ge=0
    )
    pool_shards: int | None = _setting(
        Env.POOL_SHARDS, "parts of a pool for `sync --pool` and `digest --pool`; set by the operator. Default: 1", ge=1
    )
    pool_members: Members = _setting(
        Env.POOL_MEMBERS,
        "whom `--pool` serves: `Database` or `UserSchedules`; set by the operator. Default: `Database`",
        default=Members.DATABASE,
    )
    pool_tick: Tick = _setting(
        Env.POOL_TICK,
        f"how often `--pool` runs, such as `1m`; set by the operator. Default: `{DEFAULT_TICK}`",
        default=DEFAULT_TICK,
    )
    pool_off: Off | None = _setting(
        Env.POOL_OFF,
        "why `--pool` serves nobody: `Suspended` or `Disabled`; set by the operator, for ticks by hand",
    )
    schedule_list: str | None = _setting(
        Env.SCHEDULE_LIST, "the folder with the list of UserSchedules; set by the operator in a pool's pods"
    )
    planning_strategy: Strategy = _setting(
        Env.PLANNING_STRATEGY,
        "which of the times that fit is proposed: `humane` or `earliest`; set by the chart. Default: `humane`",
        default=Strategy.HUMANE,
    )
    contact_hours: Hours = _setting(
        Env.CONTACT_HOURS,
        "when contacts may be called, on their own clocks, as HH:MM-HH:MM; set by the chart."
        f" Default: {_CONTACT_HOURS}",
        default=_CONTACT_HOURS,
    )
    log_format: Literal["json", "console"] | None = _setting(
        Env.LOG_FORMAT, "`json` or `console`. Default: `console` on a terminal, else `json`"
    )
    log_level: LogLevel = _setting(
        Env.LOG_LEVEL, "the least that is logged: `info`, `warning` or `error`. Default: `info`", default="info"
    )
    ca_file: str | None = _setting(
        Env.CA_FILE, "a PEM file of authorities to trust beside the public ones, by every client"
    )
    otlp_endpoint: Page | None = _setting(
        Env.OTLP_ENDPOINT, "where traces go by OTLP over HTTP, such as `http://collector:4318`. Default: no traces"
    )
    traceparent: str | None = _setting(
        Env.TRACEPARENT, "the trace that the run belongs to (W3C Trace Context); set by the chart from an annotation"
    )
    database: SecretStr | None = _setting(
        Env.DATABASE_URL,
        "`postgresql://user@host/name` or `sqlite:////file`. Default: a SQLite file under"
        " `~/.local/share/catchup-jobs`",
    )
    redis: SecretStr | None = _setting(
        Env.REDIS_URL,
        "`redis://host:6379/0`, `rediss://…` or `redis+sentinel://…`; needed with PostgreSQL. Default: locks by files",
    )
    keys: SecretStr | None = _setting(
        Env.ENCRYPTION_KEYS,
        "Fernet keys, newest first, separated by commas; needed unless the database is the default file. Default: a"
        " key file beside that",
    )

    @model_validator(mode="before")
    @classmethod
    def _blank_is_unset(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if not isinstance(value, str) or value.strip()}

    @classmethod
    def load(cls) -> Settings:
        """Read the environment; the process trusts `ca_file` from then on.

        Raises:
            MisconfiguredError: names each wrong variable and what is allowed, never its value.
        """
        try:
            settings = cls()
        except ValidationError as error:
            problems = [f"{item['loc'][0]} {_problem(item)}" for item in error.errors()]
            raise MisconfiguredError("the environment is wrong: " + "; ".join(problems)) from None
        if settings.ca_file:
            trust(Path(settings.ca_file))
        return settings

    @property
    def is_embedded(self) -> bool:
        """Whether the database is the default file of this machine's user."""
        return self.database is None

    @cached_property
    def database_url(self) -> str:
        """The database's URL; the directory of the default file is created.

        Raises:
            MisconfiguredError: the directory cannot be created.
        """
        if self.database is not None:
            return self.database.get_secret_value()
        return f"sqlite:///{data_directory() / _DATABASE_FILE}"

    @property
    def redis_url(self) -> str | None:
        """Redis's URL, None where locks are files of this machine.

        Raises:
            MisconfiguredError: PostgreSQL without Redis: processes on several machines need common locks.
        """
        if self.redis is not None:
            return self.redis.get_secret_value()
        if not self.database_url.startswith("sqlite"):
            raise MisconfiguredError(f"{Env.REDIS_URL} is not set: with PostgreSQL, locks and attempts are in Redis")
        return None

    def encryption_keys(self, needed_for: Callable[[], object | None] = lambda: None) -> list[str]:
        """Return the keys, newest first; for the default database they are created when first needed.

        Args:
            needed_for: see `read_or_make_key_file`.

        Raises:
            MisconfiguredError: another database without keys, or a key file that cannot be used.
        """
        if self.keys is not None:
            return split_keys(self.keys.get_secret_value())
        if not self.is_embedded:
            raise MisconfiguredError(
                f"{Env.ENCRYPTION_KEYS} is not set: tokens are stored encrypted only. Make a key with"
                ' `python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"`'
            )
        return read_or_make_key_file(data_directory() / _KEY_FILE, needed_for)

    def deadline_seconds(self, kind: Kind) -> int:
        """Return how long a process of this kind may take, in seconds."""
        return self.deadline or kind.deadlines.active

    @property
    def shard(self) -> int:
        """Index of the part of the fleet that this process plans.

        Raises:
            MisconfiguredError: there are several parts and no index, or the index is too large.
        """
        return self._index(Env.SUGGESTION_SHARDS, self.shards)

    @property
    def pool_shard(self) -> tuple[int, int]:
        """Index of the part of the pool that this process serves, and the number of parts.

        Raises:
            MisconfiguredError: there are several parts and no index, or the index is too large.
        """
        shards = self.pool_shards or 1
        return self._index(Env.POOL_SHARDS, shards), shards

    def _index(self, variable: Env, parts: int) -> int:
        if self.completion_index is None and parts > 1:
            raise MisconfiguredError(f"{variable} is {parts}, but {Env.COMPLETION_INDEX} is not set")
        index = self.completion_index or 0
        if index >= parts:
            raise MisconfiguredError(f"{Env.COMPLETION_INDEX} must be below {variable} ({parts})")
        return index

    @property
    def planning_options(self) -> PlanningOptions:
        """What the installation decides about planning."""
        start, _, end = self.contact_hours.partition("-")
        return PlanningOptions(self.planning_strategy, time.fromisoformat(start), time.fromisoformat(end))

    @property
    def shards(self) -> int:
        """How many parts the fleet has for `suggestions`."""
        return self.suggestion_shards or 1

    @property
    def slot(self) -> datetime | None:
        """The slot (UTC) that this process's Job serves, None for a manual run."""
        return slot_of(self.job_name, self.cronjob_name)


def _problem(item: ErrorDetails) -> str:
    match item["type"]:
        case "value_error":
            return str(item["ctx"]["error"])
        case "string_pattern_mismatch":
            return "must be a time of day as HH:MM"
        case _:
            return item["msg"].replace("Input should", "should")
