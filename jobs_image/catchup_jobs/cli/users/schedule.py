"""`catchup-jobs schedule`: from the database to Kubernetes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

import click

from catchup_contract.api import API_GROUP, API_VERSION, KIND, LABEL_MAX, name_form, name_pattern
from catchup_jobs.adapters.database.people.users import DatabaseUsers
from catchup_jobs.cli.parameters import USER_ID
from catchup_jobs.cli.resources import open_database
from catchup_jobs.cli.tables import NO_USERS
from catchup_jobs.jobs.run.errors import unknown_user
from catchup_jobs.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from catchup_jobs.domain.people.users import User

# A label of everything that this command renders: `kubectl delete userschedules -l` takes it.
_PART_OF: Final = "app.kubernetes.io/part-of"
_NAMESPACE: Final = re.compile(name_pattern(LABEL_MAX), re.ASCII)


@click.group()
def schedule() -> None:
    """Print UserSchedule resources for users in the database."""


def _namespace(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not _NAMESPACE.fullmatch(value):
        raise click.BadParameter(f"a namespace is {name_form(LABEL_MAX)}")
    return value


@schedule.command()
@click.argument("user_ids", metavar="[USER]...", type=USER_ID, nargs=-1)
@click.option("-n", "--namespace", callback=_namespace, help="Namespace to name in the resources.")
def render(user_ids: tuple[str, ...], namespace: str | None) -> None:
    """Print one UserSchedule per user (of all users, or of those named) as YAML for kubectl.

    Applying them again changes nothing. They carry a label by which all of them can be deleted.

    \b
    Examples:
      catchup-jobs schedule render | kubectl apply -f -
      catchup-jobs schedule render ada bob --namespace catchup | kubectl apply -f -
      kubectl delete userschedules -l app.kubernetes.io/part-of=catchup-jobs
    """
    with open_database(Settings.load()) as database:
        count = 0
        for user in _users(DatabaseUsers(database), user_ids):
            click.echo(manifest(user, namespace), nl=False)
            count += 1
    if not count:
        click.echo(NO_USERS, err=True)


def _users(people: DatabaseUsers, user_ids: tuple[str, ...]) -> Iterator[User]:
    if not user_ids:
        for overview in people.overviews():
            yield overview.user
        return
    users = people.get_many(user_ids)
    if missing := sorted(set(user_ids) - {user.id for user in users}):
        raise unknown_user(", ".join(missing))
    yield from users


def manifest(user: User, namespace: str | None) -> str:
    """Return a user's UserSchedule as a YAML document; strings are quoted, since `0x1` or `null` can be an id."""
    schedule = user.schedule
    lines = [
        "---",
        f"apiVersion: {API_GROUP}/{API_VERSION}",
        f"kind: {KIND}",
        "metadata:",
        f"  name: {json.dumps(user.id)}",
        *([f"  namespace: {json.dumps(namespace)}"] if namespace else []),
        "  labels:",
        f"    {_PART_OF}: catchup-jobs",
        "spec:",
        f"  userId: {json.dumps(user.id)}",
        f"  timeZone: {json.dumps(schedule.time_zone)}",
        "  calendarSync:",
        f"    every: {json.dumps(schedule.sync_every)}",
        "  digest:",
        f"    day: {json.dumps(schedule.digest_day)}",
        f'    time: "{schedule.digest_time:%H:%M}"',
    ]
    return "\n".join(lines) + "\n"
