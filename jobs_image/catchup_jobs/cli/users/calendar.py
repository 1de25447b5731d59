"""`catchup-jobs calendar`: connecting a user's Google Calendar, and choosing which calendars block."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TextIO

import click

from catchup_contract.env import Env
from catchup_contract.local_time import day_bounds, local_date
from catchup_jobs.adapters.database.availability.store import DatabaseAvailabilityStore
from catchup_jobs.adapters.database.calendars.selection import DatabaseCalendarSelection
from catchup_jobs.adapters.database.calendars.tokens import DatabaseTokens
from catchup_jobs.adapters.database.people.users import DatabaseUsers
from catchup_jobs.adapters.files.text_file import read_text
from catchup_jobs.cli.parameters import USER_ID, keys_lost_option
from catchup_jobs.cli.resources import open_database, sealing_encryption_of
from catchup_jobs.domain.calendar.overview import CalendarOverview, problems
from catchup_jobs.domain.calendar.week import draw, legend
from catchup_jobs.domain.text import one_line
from catchup_jobs.jobs.run.errors import MisconfiguredError, PermanentError, unknown_user
from catchup_jobs.settings import Settings

if TYPE_CHECKING:
    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.domain.calendar.access_token import OAuthToken


@click.group()
def calendar() -> None:
    """Connect a user's Google Calendar and choose what blocks."""


@calendar.command()
@click.argument("user_id", metavar="USER", type=USER_ID)
@click.option(
    "--token-file",
    type=click.File(encoding="utf-8"),
    help='An "authorized user" token file as google-auth writes it; `-` for standard input.',
)
@click.option("--installed-app", is_flag=True, help="Consent in a browser on this machine.")
@click.option("--no-browser", is_flag=True, help="With --installed-app: only print the page's address.")
@keys_lost_option
def connect(user_id: str, token_file: TextIO | None, installed_app: bool, no_browser: bool, keys_lost: bool) -> None:
    """Store a user's consent to read their Google Calendar, encrypted, in place of any other.

    The OAuth client of CATCHUP_GOOGLE_CLIENT_ID and CATCHUP_GOOGLE_CLIENT_SECRET must be the one that consent is
    given to.

    \b
    Examples:
      catchup-jobs calendar connect ada --installed-app
      catchup-jobs calendar connect ada --token-file token.json
    """
    if (token_file is None) is not installed_app:
        raise click.UsageError("give one of --token-file FILE and --installed-app")
    settings = Settings.load()
    with open_database(settings) as database:
        _require_user(database, user_id)
        tokens = DatabaseTokens(database, sealing_encryption_of(settings, database, keys_lost=keys_lost))
        token = _consent(settings, token_file, open_browser=not no_browser)
        tokens.connect(user_id, token, now=datetime.now(UTC))
    click.echo(f"connected; `catchup-jobs sync --user {user_id}` reads the primary calendar")


@calendar.command("list")
@click.argument("user_id", metavar="USER", type=USER_ID)
def list_(user_id: str) -> None:
    """Show a user's calendars; those with * are selected and block.

    \b
    Example:
      catchup-jobs calendar list ada
    """
    with open_database(Settings.load()) as database:
        _require_user(database, user_id)
        rows = DatabaseCalendarSelection(database).listing(user_id)
    if not rows:
        click.echo(f"no calendars known yet: run `catchup-jobs sync --user {user_id}`", err=True)
        return
    click.echo(f"  {'NAME':<30} {'LAST SYNC':<21} {'STATE':<12} ID")
    for row in rows:
        click.echo(
            f"{'*' if row.selected else ' '} {_cut(_shown_name(row), 30):<30} {_last_sync(row):<21} {row.state:<12}"
            f" {one_line(row.google_id)}"
        )
    now = datetime.now(UTC)
    for row in rows:
        for problem in problems(row, now):
            click.echo(f"{_shown_name(row)}: {problem}", err=True)


@calendar.command()
@click.argument("user_id", metavar="USER", type=USER_ID)
@click.argument("which", metavar="CALENDAR")
def select(user_id: str, which: str) -> None:
    """Let a calendar block, by its id or its name; the next sync reads it.

    \b
    Example:
      catchup-jobs calendar select ada "Family"
    """
    _choose(user_id, which, selected=True)


@calendar.command()
@click.argument("user_id", metavar="USER", type=USER_ID)
@click.argument("which", metavar="CALENDAR")
def deselect(user_id: str, which: str) -> None:
    """Stop a calendar from blocking, by its id or its name; its stored events are deleted.

    \b
    Example:
      catchup-jobs calendar deselect ada "Family"
    """
    _choose(user_id, which, selected=False)


@calendar.command()
@click.argument("user_id", metavar="USER", type=USER_ID)
@click.option("--days", type=click.IntRange(1, 30), default=7, help="How many days, from today. Default: 7.")
def week(user_id: str, *, days: int) -> None:
    """Draw a user's busy and free hours in the user's own time zone, as the last sync left them.

    \b
    Example:
      catchup-jobs calendar week ada
    """
    with open_database(Settings.load()) as database:
        store = DatabaseAvailabilityStore(database)
        inputs = store.inputs(user_id)
        if inputs is None:
            raise unknown_user(user_id)
        first = local_date(datetime.now(UTC), inputs.zone)
        start, _ = day_bounds(first, inputs.zone)
        _, end = day_bounds(first + timedelta(days=days - 1), inputs.zone)
        busy = store.busy(user_id, inputs.zone, start=start, end=end)
        free = store.slots(user_id, start=start, end=end)
    click.echo(f"{user_id}, {inputs.zone.key} ({start.astimezone(inputs.zone):%Z})")
    for line in draw(busy, free, inputs.zone, first=first, days=days):
        click.echo(line)
    click.echo(legend())
    if inputs.computed_at is None:
        click.echo(f"not synced yet: run `catchup-jobs sync --user {user_id}`", err=True)


def _choose(user_id: str, which: str, *, selected: bool) -> None:
    settings = Settings.load()
    with open_database(settings) as database:
        _require_user(database, user_id)
        store = DatabaseCalendarSelection(database, settings.planning_options)
        google_id = _find(store.listing(user_id), which, user_id)
        if not store.select(user_id, google_id, selected=selected, now=datetime.now(UTC)):
            raise PermanentError("the calendar has just gone from the user's list")
    done = "selected" if selected else "deselected"
    click.echo(f"{done}; the next sync (`catchup-jobs sync --user {user_id}`) takes it into account")


def _find(rows: list[CalendarOverview], which: str, user_id: str) -> str:
    by_name = [row.google_id for row in rows if one_line(row.summary) == one_line(which)]
    if any(row.google_id == which for row in rows):
        return which
    if len(by_name) == 1:
        return by_name[0]
    if by_name:
        raise PermanentError(f"{len(by_name)} calendars have this name: give the id of `calendar list {user_id}`")
    raise PermanentError(f"{user_id} has no such calendar: `catchup-jobs calendar list {user_id}` shows them")


def _consent(settings: Settings, token_file: TextIO | None, *, open_browser: bool) -> OAuthToken:
    # Only this command pays for the consent flow.
    from catchup_jobs.adapters.google.consent import ConnectError, consent_in_browser, read_token_file  # noqa: PLC0415

    client = settings.google_client
    try:
        if token_file is not None:
            return read_token_file(read_text(token_file), client_id=client[0] if client else None)
        if client is None:
            raise MisconfiguredError(f"{Env.GOOGLE_CLIENT_ID} is not set: consent is given to an OAuth client")
        if isinstance(sys.stdout, io.TextIOWrapper):
            # The page's address must be seen at once, through a pipe (`| tee`) too.
            sys.stdout.reconfigure(line_buffering=True)
        return consent_in_browser(
            *client,
            auth_uri=settings.google_auth_uri,
            token_uri=settings.google_token_uri,
            open_browser=open_browser,
        )
    except UnicodeDecodeError:
        raise PermanentError("nothing was stored: the token file is not UTF-8 text") from None
    except ConnectError as error:
        raise PermanentError(f"nothing was stored: {error}") from None


def _require_user(database: Database, user_id: str) -> None:
    if DatabaseUsers(database).get(user_id) is None:
        raise unknown_user(user_id)


def _shown_name(row: CalendarOverview) -> str:
    name = one_line(row.summary)
    return f"{name} (primary)" if row.primary else name


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _last_sync(row: CalendarOverview) -> str:
    return f"{row.last_success_at:%Y-%m-%d %H:%M} UTC" if row.last_success_at else "-"
