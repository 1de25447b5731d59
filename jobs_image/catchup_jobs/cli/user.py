"""`catchup-jobs user`: who the users are."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

import click

from catchup_jobs.adapters.database.addresses import DatabaseAddresses
from catchup_jobs.adapters.database.contacts import count_contacts
from catchup_jobs.adapters.database.digest_overview import DeliveryOverview, latest_digest
from catchup_jobs.adapters.database.erasure import erase
from catchup_jobs.adapters.database.users import DatabaseUsers, UserOverview
from catchup_jobs.adapters.user_file import read_users
from catchup_jobs.cli.digest import encryption_of
from catchup_jobs.cli.parameters import USER_ID
from catchup_jobs.cli.resources import open_database
from catchup_jobs.contract import ExitCode, Reason
from catchup_jobs.domain.addresses import masked
from catchup_jobs.domain.vocabulary import Channel, Weekday
from catchup_jobs.jobs.outcomes import MisconfiguredError, PermanentError
from catchup_jobs.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from catchup_jobs.adapters.database.engine import Database
    from catchup_jobs.domain.availability import WeeklyWindow


@click.group()
def user() -> None:
    """Import, show and delete users."""


@user.command("import")
@click.argument("file", type=click.File(encoding="utf-8"))
def import_(file: TextIO) -> None:
    """Create or replace users from a JSON file (`-` for standard input).

    The file is checked whole before anything is written, and written in one transaction. It holds one user, a list,
    or an object with a list under `users`. Only `id` and `name` are required. A user's schedule (time zone, digest,
    calendar sync) is left alone where a UserSchedule resource owns it.

    With `contacts`, a user's contacts become these: those known by their id are changed, new ones are added, those
    that are missing are archived, and suggestions stay with their contacts. Without the key, contacts stay as they
    are; without `interactions`, so does a contact's log.

    With `channels`, a user is reached by these: a phone number with its country (`mode` on or off), an email address
    (`mode` on, off, or fallback: where the SMS cannot do it). SMS need consent, `consentAt` (when) or `consent`; it
    belongs to the number, and so does a STOP, which only a later `consentAt` ends.

    \b
    Example:
      {"users": [{
        "id": "ada", "name": "Ada", "timeZone": "Europe/Berlin",
        "digest": {"day": "Sunday", "time": "09:00"}, "calendarSync": {"every": "30m"},
        "city": "Berlin", "paused": false,
        "availability": {
          "manualBlocks": [{"days": ["SA", "SU"], "start": "10:00", "end": "20:00"}],
          "commuteWindows": [{"days": ["MO", "TU", "WE"], "start": "08:00", "end": "09:00"}],
          "night": {"start": "22:30", "end": "07:00"}},
        "channels": {
          "sms": {"phone": "+44 7700 900123", "mode": "on", "consentAt": "2026-01-10T12:00:00Z"},
          "email": {"address": "ada@example.com", "mode": "fallback"}},
        "contacts": [{
          "id": "c-1", "name": "Ben", "frequency": "monthly", "city": "Berlin", "timeZone": "Europe/Berlin",
          "tags": ["climbing", "IRL preferred"], "groups": ["Close Friends"],
          "createdAt": "2026-01-10T12:00:00Z", "interactions": ["2026-10-12T18:00:00+02:00"]}]}]}
    """
    try:
        text = file.read()
    except UnicodeDecodeError:
        raise PermanentError("nothing was imported: the file is not UTF-8 text") from None
    entries = read_users(text)
    contacts = {entry.user.id: entry.contacts for entry in entries if entry.contacts is not None}
    channels = {entry.user.id: entry.channels for entry in entries if entry.channels is not None}
    settings = Settings.load()
    with open_database(settings) as database:
        imported = DatabaseUsers(database).import_all(
            [entry.user for entry in entries],
            now=datetime.now(UTC),
            contacts=contacts,
            channels=channels,
            addresses=_addresses(settings, database),
        )
    click.echo(f"{len(imported.created)} created, {len(imported.updated)} updated")
    if imported.kept_schedule:
        click.echo(f"schedule owned by a UserSchedule, left alone: {', '.join(imported.kept_schedule)}")


@user.command()
@click.argument("user_id", metavar="[ID]", type=USER_ID, required=False)
def show(user_id: str | None) -> None:
    """Show all users, one a line, or one user in full.

    CALENDAR is `active`, `reconnect` (the user must connect again) or `-` (never connected).

    \b
    Examples:
      catchup-jobs user show
      catchup-jobs user show ada
    """
    settings = Settings.load()
    with open_database(settings) as database:
        overviews = DatabaseUsers(database).overviews(user_id)
        if user_id is None:
            _show_all(overviews)
            return
        found = next(overviews, None)
        if found is None:
            raise PermanentError(f"there is no user {user_id}: import it with `catchup-jobs user import`")
        _show_one(found)
        _show_contacts(database, user_id)
        _show_channels(_addresses(settings, database), user_id)
        _show_digest(database, user_id)


@user.command()
@click.argument("user_id", metavar="ID", type=USER_ID)
@click.confirmation_option(prompt="Delete the user and all personal data?")
def delete(user_id: str) -> None:
    """Delete a user and all personal data; says what was removed.

    A STOP or an unsubscription stays: it belongs to the number or address, of which only a keyed hash is kept. A
    UserSchedule of the user goes by kubectl, and the consent at Google is the user's to withdraw.

    \b
    Example:
      catchup-jobs user delete ada --yes
    """
    with open_database(Settings.load()) as database:
        counts = erase(database, user_id)
    if counts is None:
        raise PermanentError(f"there is no user {user_id}", reason=Reason.UNKNOWN_USER)
    removed = ", ".join(f"{number} {name}" for name, number in counts.items()) or "nothing else was stored"
    click.echo(f"deleted {user_id}: {removed}")
    click.echo("its UserSchedule, if there is one, stays: kubectl delete userschedule NAME")


def _addresses(settings: Settings, database: Database) -> DatabaseAddresses:
    return DatabaseAddresses(database, lambda: encryption_of(settings))


_ROW = "{:<20} {:<24} {:<6} {:<17} {:<10} {}"


def _show_all(overviews: Iterable[UserOverview]) -> None:
    empty = True
    for overview in overviews:
        if empty:
            click.echo(_ROW.format("ID", "TIME ZONE", "SYNC", "DIGEST", "CALENDAR", "LAST SYNC"))
            empty = False
        schedule = overview.user.schedule
        digest = f"{schedule.digest_day} {schedule.digest_time:%H:%M}"
        cells = (overview.user.id, schedule.time_zone, schedule.sync_every, digest, overview.calendar or "-")
        click.echo(_ROW.format(*cells, _last_sync(overview)))
    if empty:
        click.echo("no users yet: import them with `catchup-jobs user import FILE`", err=True)
        sys.exit(ExitCode.DONE)


def _show_one(overview: UserOverview) -> None:
    found, schedule = overview.user, overview.user.schedule
    night = found.availability.night
    lines = {
        "id": found.id,
        "name": found.name,
        "city": found.city or "-",
        "time zone": schedule.time_zone,
        "digest": f"{schedule.digest_day} {schedule.digest_time:%H:%M}",
        "sync": f"every {schedule.sync_every}",
        "paused": "yes" if found.paused else "no",
        "open hours": _weekly(found.availability.blocks) or "every day 09:00-21:00",
        "commutes": _weekly(found.availability.commutes) or "-",
        "night": f"{night.start:%H:%M}-{night.end:%H:%M}" if night else "-",
        "calendar": overview.calendar or "not connected",
        "last sync": _last_sync(overview),
    }
    for name, value in lines.items():
        click.echo(f"{name:<11} {value}")


def _show_contacts(database: Database, user_id: str) -> None:
    with database.read() as connection:
        total, left_out = count_contacts(connection, user_id)
    click.echo(f"{'contacts':<11} {total}{f' ({left_out} of them excluded or archived)' if left_out else ''}")


def _show_channels(addresses: DatabaseAddresses, user_id: str) -> None:
    try:
        found = addresses.overviews(user_id)
    except MisconfiguredError:
        click.echo("channels    (not readable with these encryption keys)")
        return
    for overview in found:
        said = [overview.mode.value]
        if overview.channel is Channel.SMS:
            said.append(f"consent {overview.consented_at:%Y-%m-%d}" if overview.consented_at else "no consent")
        if overview.opted_out_at is not None:
            said.append(f"opted out {overview.opted_out_at:%Y-%m-%d}")
        click.echo(f"{overview.channel.value:<11} {masked(overview.channel, overview.address)} ({', '.join(said)})")


def _show_digest(database: Database, user_id: str) -> None:
    last = latest_digest(database, user_id)
    if last is None:
        click.echo(f"{'last digest':<11} -")
        return
    told = [_delivery(each) for each in last.deliveries]
    if last.skip_reason is not None:
        told = [f"skipped ({last.skip_reason.value})"]
    click.echo(f"{'last digest':<11} {last.due_date}: {', '.join(told)}")


def _delivery(each: DeliveryOverview) -> str:
    notes = [str(note) for note in (each.skip_reason, each.provider_status, each.error_code) if note]
    told = f" ({', '.join(notes)})" if notes else ""
    return f"{each.channel.value} {each.status.value}{told}"


def _weekly(windows: Iterable[WeeklyWindow]) -> str:
    days: dict[str, list[Weekday]] = {}
    for window in windows:
        days.setdefault(f"{window.start:%H:%M}-{window.end:%H:%M}", []).append(window.weekday)
    return "; ".join(f"{','.join(names)} {hours}" for hours, names in days.items())


def _last_sync(overview: UserOverview) -> str:
    if overview.last_sync_at is None:
        return "-"
    return f"{overview.last_sync_at:%Y-%m-%d %H:%M} UTC ({overview.last_sync_state})"
