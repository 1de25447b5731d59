"""`catchup-jobs user`: who the users are."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from catchup_contract.outcomes import Reason
from catchup_contract.pools import Members
from catchup_jobs.adapters.database.people.addresses import DatabaseAddresses
from catchup_jobs.adapters.database.people.erasure import erase
from catchup_jobs.adapters.database.people.users import DatabaseUsers, UserOverview
from catchup_jobs.adapters.database.pools.apply_list import known_pools
from catchup_jobs.adapters.database.pools.ticks import last_ticks
from catchup_jobs.adapters.files.text_file import read_text
from catchup_jobs.adapters.files.user_file import read_users
from catchup_jobs.cli.parameters import USER_ID, keys_lost_option
from catchup_jobs.cli.resources import encryption_of, open_database, sealing_encryption_of
from catchup_jobs.cli.tables import JSON, NO_USERS, echo_json, echo_rows, output_option
from catchup_jobs.cli.users.consent_withdrawal import Consent
from catchup_jobs.cli.users.user_view import lines, read_view
from catchup_jobs.jobs.run.errors import PermanentError, unknown_user
from catchup_jobs.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from catchup_jobs.adapters.database.engine import Database


_MAX_SHOWN: Final = 20


@click.group()
def user() -> None:
    """Import, show and delete users."""


@user.command("import")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--strict", is_flag=True, help="Import nobody if one of the users cannot be.")
@keys_lost_option
def import_(file: TextIO, strict: bool, keys_lost: bool) -> None:
    """Create or replace users from a JSON file (`-` for standard input).

    It holds one user, a list, or an object with a list under `users`. Only `id` and `name` are required. The whole file
    is checked first, each user apart: one with a wrong field is left out, the others are imported, and the exit code is
    65. They are imported by their ids, some in each transaction: if the database fails on the way, the error says how
    many are there, and the same file can be imported again. A user's schedule (time zone, digest, calendar sync) is
    kept for later where a UserSchedule resource says when, and holds once that is gone.

    With `contacts`, a user's contacts become these: those known by their id are changed, new ones are added, those
    that are missing are archived, and suggestions stay with their contacts. Without the key, contacts stay as they
    are; without `interactions`, so does a contact's log.

    With `channels`, a user is reached by these: a phone number with its country (`mode` on or off), an email address
    (`mode` on, off, or fallback: where the SMS cannot do it). SMS need consent, `consentAt` (when) or `consent`; it
    belongs to the number, and so does a STOP, which only a later `consentAt` ends.

    With `pool`, a SchedulePool of this name serves the user, unless a UserSchedule names the user; null ends that. A
    name of which no SchedulePool has run yet is told.

    \b
    Example, and what is in its file:
      catchup-jobs user import users.json
      {"users": [{
        "id": "ada", "name": "Ada", "timeZone": "Europe/Berlin",
        "digest": {"day": "Sunday", "time": "09:00"}, "calendarSync": {"every": "30m"},
        "city": "Berlin", "paused": false, "pool": "people",
        "availability": {
          "manualBlocks": [{"days": ["SA", "SU"], "start": "10:00", "end": "20:00"}],
          "commuteWindows": [{"days": ["MO", "TU", "WE"], "start": "08:00", "end": "09:00"}],
          "preferredHours": [{"days": ["MO", "TU", "WE", "TH", "FR"], "start": "18:00", "end": "21:00"}],
          "night": {"start": "22:30", "end": "07:00"}},
        "channels": {
          "sms": {"phone": "+44 7700 900123", "mode": "on", "consentAt": "2026-01-10T12:00:00Z"},
          "email": {"address": "ada@example.com", "mode": "fallback"}},
        "contacts": [{
          "id": "c-1", "name": "Ben", "frequency": "monthly", "city": "Berlin", "timeZone": "Europe/Berlin",
          "tags": ["climbing", "IRL preferred"], "groups": ["Close Friends"],
          "createdAt": "2026-01-10T12:00:00Z", "interactions": ["2026-10-12T18:00:00+02:00"]}]}]}
    """
    now = datetime.now(UTC)
    read = read_users(read_text(file), now=now)
    if read.problems and (strict or not read.users):
        raise PermanentError("nothing was imported:\n" + _listed(read.problems))
    entries = read.users
    contacts = {entry.user.id: entry.contacts for entry in entries if entry.contacts is not None}
    channels = {entry.user.id: entry.channels for entry in entries if entry.channels is not None}
    pools = {entry.user.id: entry.pool or None for entry in entries if entry.pool is not None}
    settings = Settings.load()
    with open_database(settings) as database:
        addresses = _addresses(settings, database)
        if any(channels.values()):
            # Before the transaction: a process may have no second connection.
            encryption = sealing_encryption_of(settings, database, keys_lost=keys_lost)
            addresses = DatabaseAddresses(database, lambda: encryption)
        imported = DatabaseUsers(database).import_all(
            [entry.user for entry in entries],
            now=now,
            contacts=contacts,
            channels=channels,
            addresses=addresses,
            pools=pools,
        )
        doubts = _doubts({user: pool for user, pool in pools.items() if pool}, _known_pools(database))
    click.echo(f"{len(imported.created)} created, {len(imported.updated)} updated")
    if imported.kept_schedule:
        click.echo(f"schedule kept for when their UserSchedule is gone: {', '.join(imported.kept_schedule)}")
    if doubts:
        click.echo("imported, but nobody serves them so far:\n" + "\n".join(doubts), err=True)
    if read.problems:
        left_out = len(read.problems)
        raise PermanentError(f"{left_out} of {left_out + len(entries)} users left out:\n" + _listed(read.problems))


def _known_pools(database: Database) -> dict[str, Members | None]:
    """Return the pools that serve somebody; without Kubernetes these are the ones that tick by hand."""
    if known := known_pools(database):
        return known
    with database.read() as connection:
        return dict.fromkeys(sorted(last_ticks(connection)))


def _doubts(pools: Mapping[str, str], known: Mapping[str, Members | None]) -> list[str]:
    """Return why no pod may serve the users by the pools that the file names: a line for each pool, with its users."""
    serving = ", ".join(name for name, members in known.items() if members is not Members.USER_SCHEDULES) or "none"
    users_of: dict[str, list[str]] = {}
    for user, name in pools.items():
        users_of.setdefault(name, []).append(user)
    doubts = []
    for name, users in users_of.items():
        if name not in known:
            why = f"no SchedulePool {name} has run yet (known: {serving}); see `kubectl get schedulepools`"
        elif known[name] is Members.USER_SCHEDULES:
            why = f"the SchedulePool {name} serves UserSchedules that name it, not users of the database"
        else:
            continue
        more = f" and {len(users) - _MAX_SHOWN} more" if len(users) > _MAX_SHOWN else ""
        doubts.append(f"  {', '.join(users[:_MAX_SHOWN])}{more}: pool: {why}")
    return doubts


def _listed(problems: dict[str, list[str]]) -> str:
    lines = [(user, f"  {user}: {problem}") for user, found in problems.items() for problem in found]
    shown = [line for _, line in lines[:_MAX_SHOWN]]
    if rest := list(dict.fromkeys(user for user, _ in lines[_MAX_SHOWN:])):
        shown.append(f"  and {len(lines) - _MAX_SHOWN} more problems, of {', '.join(rest)}")
    return "\n".join(shown)


@user.command()
@click.argument("user_id", metavar="[ID]", type=USER_ID, required=False)
@output_option
def show(user_id: str | None, output: str) -> None:
    """Show all users, one a line, or one user in full: schedule, channels, suggestions, last runs, what was given up.

    CALENDAR is `active`, `reconnect` (the user must connect again) or `-` (never connected).

    \b
    Examples:
      catchup-jobs user show
      catchup-jobs user show ada
      catchup-jobs user show ada --output json
    """
    settings = Settings.load()
    with open_database(settings) as database:
        overviews = DatabaseUsers(database).overviews(user_id)
        if user_id is None:
            _show_all(overviews, output)
            return
        overview = next(overviews, None)
        if overview is None:
            raise unknown_user(user_id)
        view = read_view(database, _addresses(settings, database), overview)
    if output == JSON:
        echo_json(view)
        return
    for line in lines(view):
        click.echo(line)


@user.command()
@click.argument("user_id", metavar="ID", type=USER_ID)
@click.confirmation_option(prompt="Delete the user and all personal data?")
@output_option
def delete(user_id: str, output: str) -> None:
    """Delete a user and all personal data; says what was removed.

    Revokes the consent at Google if Google can be reached, and prints the result. A STOP or an unsubscription stays: it
    belongs to the number or address, of which only a keyed hash is kept. Delete the user's UserSchedule with kubectl.

    \b
    Example:
      catchup-jobs user delete ada --yes
    """
    settings = Settings.load()
    with open_database(settings) as database:
        consent = Consent.of(settings, database, user_id)
        counts = erase(database, user_id)
    if counts is None:
        raise PermanentError(f"there is no user {user_id}", reason=Reason.UNKNOWN_USER)
    given_back = consent.give_back()
    if output == JSON:
        click.echo(json.dumps({"id": user_id, "removed": counts, "googleConsent": given_back}, indent=2))
        return
    removed = ", ".join(f"{number} {name}" for name, number in counts.items()) or "nothing else was stored"
    click.echo(f"deleted {user_id}: {removed}")
    click.echo(f"the consent at Google {given_back}")
    click.echo("its UserSchedule, if there is one, stays: kubectl delete userschedule NAME")


def _addresses(settings: Settings, database: Database) -> DatabaseAddresses:
    return DatabaseAddresses(database, lambda: encryption_of(settings, database))


_COLUMNS: Final = {
    "id": "ID",
    "timeZone": "TIME ZONE",
    "syncEvery": "SYNC",
    "digest": "DIGEST",
    "calendar": "CALENDAR",
    "lastSync": "LAST SYNC",
}


def _show_all(overviews: Iterable[UserOverview], output: str) -> None:
    rows = [_row(overview) for overview in overviews]
    echo_rows(_COLUMNS, rows, output)
    if not rows and output != JSON:
        click.echo(NO_USERS, err=True)


def _row(overview: UserOverview) -> dict[str, Any]:
    schedule = overview.user.schedule
    return {
        "id": overview.user.id,
        "timeZone": schedule.time_zone,
        "syncEvery": schedule.sync_every,
        "digest": f"{schedule.digest_day} {schedule.digest_time:%H:%M}",
        "calendar": overview.calendar,
        "lastSync": _last_sync(overview),
    }


def _last_sync(overview: UserOverview) -> str | None:
    if overview.last_sync_at is None:
        return None
    return f"{overview.last_sync_at:%Y-%m-%d %H:%M} UTC ({overview.last_sync_state})"
