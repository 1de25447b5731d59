"""The kinds of background work, one record each.

Operator, jobs, chart tests and docs read this table. A new kind is one record here, its body among the jobs
(`catchup_jobs/cli`), and, if a UserSchedule configures it, its section in the CRD.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from catchup_contract.env import Env

BACKOFF_LIMIT: Final = 3
"""`backoffLimit` of every Job: how many failed pods are replaced before the Job fails."""


class Rule(StrEnum):
    """What decides when a kind runs for a user."""

    INTERVAL = "interval"
    """Every so often, as `every: 30m` says (`cadence.Cadence`)."""
    LOCAL_TIME = "localTime"
    """On a day and at a time of the user's clock; several firings serve one due date (`digest_rule.DigestTime`)."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Deadlines of a kind, in seconds.

    Attributes:
        starting: how late a slot may still start (`startingDeadlineSeconds` of a CronJob); rare runs have longer
            (`Cadence.starting_deadline`).
        active: how long a Job may take (`activeDeadlineSeconds`).
    """

    starting: int
    active: int


@dataclass(frozen=True, slots=True)
class History:
    """How many finished Jobs a CronJob keeps."""

    successful: int = 1
    failed: int = 3


@dataclass(frozen=True, slots=True)
class UserWork:
    """How a UserSchedule configures a kind, and where it shows the results.

    Attributes:
        spec_section: the field of `spec` with `enabled` and the fields of the rule.
        status_section: the field of `status`.
        condition: the type of the condition that says how the last run ended.
        env: what of the user's schedule the pod is told, beside the identity of its run.
    """

    spec_section: str
    status_section: str
    condition: str
    rule: Rule
    env: tuple[Env, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """A kind of background work.

    Attributes:
        name: the subcommand of `catchup-jobs`, the value of the label `catchup.dev/job`, the first part of run keys.
        retries: attempts after the first one, over all pods of a run.
        redis_optional: whether a run goes on while Redis is down, since the database alone keeps its side effects
            single.
        user_work: None for work on the whole fleet, which no UserSchedule configures.
    """

    name: str
    deadlines: Deadlines
    history: History = History()
    retries: int = 3
    redis_optional: bool = False
    user_work: UserWork | None = None

    @property
    def rule(self) -> Rule | None:
        """What decides when it runs for a user, None for work on the whole fleet."""
        return None if self.user_work is None else self.user_work.rule

    def __str__(self) -> str:
        """Return the name."""
        return self.name


SYNC: Final = Kind(
    "sync",
    Deadlines(starting=600, active=600),
    user_work=UserWork(
        spec_section="calendarSync",
        status_section="sync",
        condition="SyncHealthy",
        rule=Rule.INTERVAL,
        # The sync's pod stores the user's whole schedule, which suggestions and digests by hand need, too.
        env=(Env.TIME_ZONE, Env.DIGEST_DAY, Env.DIGEST_TIME, Env.SYNC_EVERY),
    ),
)
"""The calendar sync: deadlines (seconds), kept Jobs, retry budget."""
DIGEST: Final = Kind(
    "digest",
    Deadlines(starting=7200, active=900),
    redis_optional=True,
    user_work=UserWork(
        spec_section="digest",
        status_section="digest",
        condition="DigestHealthy",
        rule=Rule.LOCAL_TIME,
        env=(Env.TIME_ZONE, Env.DIGEST_DAY, Env.DIGEST_TIME, Env.DIGEST_SINCE),
    ),
)
"""The digest: deadlines (seconds), kept Jobs, retry budget."""
SUGGESTIONS: Final = Kind("suggestions", Deadlines(starting=7200, active=10800))
"""The suggestions: deadlines (seconds), retry budget."""

KINDS: Final = {kind.name: kind for kind in (SYNC, DIGEST, SUGGESTIONS)}


def kind_named(name: str) -> Kind:
    """Return a kind by its name. Raises ValueError for an unknown one."""
    try:
        return KINDS[name]
    except (KeyError, TypeError):
        raise ValueError(f"unknown kind; known: {', '.join(KINDS)}") from None


def user_kinds() -> dict[Kind, UserWork]:
    """Return the kinds that a UserSchedule configures, in the order of the table, with how it does."""
    return {kind: kind.user_work for kind in KINDS.values() if kind.user_work is not None}
