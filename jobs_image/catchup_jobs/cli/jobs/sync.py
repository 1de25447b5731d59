"""`catchup-jobs sync`: one user's calendars."""

from __future__ import annotations

import sys
from datetime import time
from typing import TYPE_CHECKING

import click

from catchup_contract.kinds import SYNC
from catchup_jobs.adapters.database.availability.store import DatabaseAvailabilityStore
from catchup_jobs.adapters.database.calendars.store import DatabaseCalendarStore
from catchup_jobs.adapters.database.calendars.tokens import DatabaseTokens
from catchup_jobs.adapters.database.people.users import DatabaseUsers
from catchup_jobs.cli.jobs.job_runner import Body, execute
from catchup_jobs.cli.parameters import subject_options
from catchup_jobs.cli.resources import encryption_of
from catchup_jobs.domain.people.users import Schedule
from catchup_jobs.jobs.sync.job import CalendarSync, Google

if TYPE_CHECKING:
    from catchup_jobs.adapters.redis.quota import RedisQuota
    from catchup_jobs.cli.resources import Clients, Resources
    from catchup_jobs.jobs.run.context import Result, RunContext
    from catchup_jobs.settings import Settings


@click.command()
@subject_options
@click.option("--full", is_flag=True, help="Read every selected calendar whole, not only what changed.")
def sync(user_id: str | None, pool: str | None, full: bool) -> None:
    """Bring a user's calendars up to date and compute when the user is free, or those of a pool's users who are due.

    A user who never connected a calendar, or must connect again, is skipped with exit code 0. A calendar that cannot
    be read keeps its last known events; the others are synced.

    \b
    Examples:
      catchup-jobs sync --user ada
      catchup-jobs sync --user ada --full
      catchup-jobs sync --pool people
    """
    if pool is not None:
        if full:
            raise click.UsageError("--full goes with --user, not with --pool")
        from catchup_jobs.cli.jobs.pool import execute_tick  # noqa: PLC0415 - a user's pod does without

        sys.exit(execute_tick(SYNC, pool))
    assert user_id is not None  # noqa: S101 - the options hold one of the two
    sys.exit(execute(SYNC, user_id, body_of(user_id, full=full)))


def body_of(user_id: str, *, full: bool = False) -> Body:
    """Return the sync of a user, for `job_runner` to run."""

    def body(context: RunContext, resources: Resources) -> Result:
        settings, database = resources.settings, resources.database
        schedule = schedule_of(settings)
        if schedule is not None:
            DatabaseUsers(database).record_schedule(user_id, schedule, now=context.now())
        job = CalendarSync(
            google=lambda: _google(settings, context, resources.clients),
            tokens=DatabaseTokens(database, encryption_of(settings, database)),
            calendars=DatabaseCalendarStore(database, settings.planning_options),
            availability=DatabaseAvailabilityStore(database),
            full=full,
        )
        return job(context)

    return body


def schedule_of(settings: Settings) -> Schedule | None:
    """Return what the operator says of the UserSchedule, or None outside of its pods."""
    zone, day, at, every = settings.time_zone, settings.digest_day, settings.digest_time, settings.sync_every
    if zone is None or day is None or at is None or every is None:
        return None
    return Schedule(zone, day, time.fromisoformat(at), every)


def _google(settings: Settings, context: RunContext, clients: Clients) -> Google | None:
    client = settings.google_client
    if client is None:
        return None
    # The client of Google costs 0.2 s and 15 MB: only a user who is connected pays for it.
    from catchup_jobs.adapters.google.calendar_api import CalendarService, GoogleCalendar  # noqa: PLC0415
    from catchup_jobs.adapters.google.oauth import GoogleOAuth  # noqa: PLC0415

    client_id, client_secret = client
    now = context.now
    service = clients.once("google", lambda: CalendarService(settings.google_api_endpoint))
    # The connections are this run's as long as it lasts.
    service.http.seconds_left = context.seconds_left
    return Google(
        refresher=GoogleOAuth(
            client_id, client_secret, now=now, token_uri=settings.google_token_uri, http=service.http
        ),
        calendars=lambda tokens, await_turn: GoogleCalendar(service, tokens, await_turn, now=now),
        quota=_quota(settings, context.subject, clients),
    )


def _quota(settings: Settings, user_id: str, clients: Clients) -> RedisQuota | None:
    url = settings.redis_url
    if url is None:
        return None
    from catchup_jobs.adapters.redis.client import connect  # noqa: PLC0415 - a laptop does without
    from catchup_jobs.adapters.redis.quota import RedisQuota  # noqa: PLC0415

    redis = clients.once("redis", lambda: connect(url))
    return RedisQuota(
        redis,
        user_id,
        project=settings.google_project_quota,
        user=settings.google_user_quota,
        day=settings.google_day_quota,
    )
