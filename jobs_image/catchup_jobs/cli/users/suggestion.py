"""`catchup-jobs suggestion`: seeing and answering suggestions, also by the links in messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import click

from catchup_contract.timestamps import format_utc
from catchup_jobs.adapters.database.people.addresses import DatabaseAddresses
from catchup_jobs.adapters.database.people.users import DatabaseUsers
from catchup_jobs.adapters.database.suggestions.answers import DatabaseAnswers, SuggestionView
from catchup_jobs.adapters.messaging.action_links import read_token
from catchup_jobs.cli.jobs.message_senders import links_of
from catchup_jobs.cli.parameters import ROW_ID, USER_ID
from catchup_jobs.cli.resources import encryption_of, open_database
from catchup_jobs.cli.tables import JSON, TEXT, echo_json, echo_rows, output_option
from catchup_jobs.domain.digest.action_tokens import Action, ActionToken
from catchup_jobs.domain.digest.channels import EMAIL, SMS
from catchup_jobs.domain.digest.formatting import contact_name, mode_words, short_time
from catchup_jobs.domain.planning.answers import Answer
from catchup_jobs.domain.stored_enums import CURRENT_SUGGESTIONS, SuggestionStatus
from catchup_jobs.domain.text import clean
from catchup_jobs.jobs.run.errors import PermanentError, unknown_user
from catchup_jobs.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catchup_jobs.adapters.database.engine import Database

_ANSWERS: Final = {Action.ACCEPT: Answer.ACCEPT, Action.DISMISS: Answer.DISMISS, Action.SNOOZE: Answer.SNOOZE}
# The channel whose messages end, the action's name in JSON, and what the user is told.
_OPT_OUTS: Final = {
    Action.UNSUBSCRIBE: (EMAIL, "unsubscribe", "no more emails will be sent to this address"),
    Action.END_SMS: (SMS, "endSms", "no more SMS will be sent to this number"),
}
_BUSY: Final = "something else is in this time now"
_COLUMNS: Final = {"id": "ID", "status": "STATUS", "contact": "CONTACT", "when": "WHEN", "how": "HOW", "why": "WHY"}
_NAME_WIDTH: Final = 24
_REASON_WIDTH: Final = 100

_version = click.option(
    "--version", "seen_version", type=int, metavar="N", help="Refuse if the suggestion is not at this version any more."
)


@click.group()
def suggestion() -> None:
    """See and answer suggestions.

    \b
    Examples:
      catchup-jobs suggestion list ada
      catchup-jobs suggestion accept 17
      catchup-jobs suggestion snooze 17 --days 3
    """


@suggestion.command("list")
@click.argument("user_id", metavar="USER", type=USER_ID)
@click.option(
    "--status",
    "statuses",
    type=click.Choice([status.value for status in SuggestionStatus]),
    multiple=True,
    help="Only these; may be repeated. Default: pending, snoozed and accepted.",
)
@output_option
def list_(user_id: str, statuses: tuple[str, ...], output: str) -> None:
    """Show a user's suggestions, in the user's own time zone.

    \b
    Examples:
      catchup-jobs suggestion list ada
      catchup-jobs suggestion list ada --status expired --output json
    """
    wanted = [SuggestionStatus(status) for status in statuses] or CURRENT_SUGGESTIONS
    with open_database(Settings.load()) as database:
        if DatabaseUsers(database).get(user_id) is None:
            raise unknown_user(user_id)
        views = DatabaseAnswers(database).listing(user_id, wanted)
    if output == JSON:
        echo_json([_document(view) for view in views])
    elif views:
        _table(views)
    else:
        click.echo("no suggestions", err=True)


@suggestion.command()
@click.argument("suggestion_id", metavar="ID", type=ROW_ID)
@_version
@output_option
def accept(suggestion_id: int, seen_version: int | None, output: str) -> None:
    """Accept a suggestion: its time counts as busy from now on.

    \b
    Example:
      catchup-jobs suggestion accept 17
    """
    _answer(suggestion_id, Answer.ACCEPT, seen_version, output)


@suggestion.command()
@click.argument("suggestion_id", metavar="ID", type=ROW_ID)
@_version
@output_option
def dismiss(suggestion_id: int, seen_version: int | None, output: str) -> None:
    """Dismiss a suggestion, or call off an accepted one: the contact rests for a while.

    \b
    Example:
      catchup-jobs suggestion dismiss 17
    """
    _answer(suggestion_id, Answer.DISMISS, seen_version, output)


@suggestion.command()
@click.argument("suggestion_id", metavar="ID", type=ROW_ID)
@click.option("--days", type=click.IntRange(1, 366), help="For so many days. Default: 7.")
@click.option("--until", type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z"]), help="Until a time, 2026-12-01T09:00:00+01:00.")
@_version
@output_option
def snooze(suggestion_id: int, days: int | None, until: datetime | None, seen_version: int | None, output: str) -> None:
    """Put a suggestion off; it comes back by itself.

    \b
    Examples:
      catchup-jobs suggestion snooze 17
      catchup-jobs suggestion snooze 17 --days 3
    """
    if days is not None and until is not None:
        raise click.UsageError("give one of --days and --until")
    if days is not None:
        until = datetime.now(UTC) + timedelta(days=days)
    _answer(suggestion_id, Answer.SNOOZE, seen_version, output, until=until)


@suggestion.command()
@click.argument("token")
@output_option
def redeem(token: str, output: str) -> None:
    """Do what a link in a message stands for; for the application that serves CATCHUP_ACTION_BASE_URL.

    The token is the last part of the link's address. The whole link is taken too, as mail programs and people pass it
    on: in quotes, with a full stop or parameters behind it, broken over lines, percent-encoded. The token is checked
    (ours, unchanged, not expired) and does one thing: accept, dismiss or snooze one suggestion; show the suggestions of
    a digest, with a link for each answer; or stop the emails or SMS to the address that was written to. A time that has
    moved since is not accepted, and one that has become busy is, with a warning. The same token twice changes nothing
    more. Mail scanners open links: serve a page with a button, and redeem when it is pressed (the unsubscribe link
    takes the POST of RFC 8058).

    \b
    Example:
      catchup-jobs suggestion redeem AWEAAAAAAAAAEQHDmgg… --output json
    """
    settings, now = Settings.load(), datetime.now(UTC)
    with open_database(settings) as database:
        answers, encryption = DatabaseAnswers(database), encryption_of(settings, database)
        meant = read_token(token, encryption, now=now, binding_of=answers.binding)
        if meant.action is Action.OPEN:
            _open(settings, database, meant, output, now)
        elif meant.action in _OPT_OUTS:
            _unsubscribe(settings, database, meant, output, now)
        else:
            answer = _ANSWERS[meant.action]
            view, changed = answers.answer(meant.subject, answer, now=now, proposed=meant)
            _tell(view, output, changed=changed, busy=_has_become_busy(answers, view, answer))


def _answer(
    suggestion_id: int, answer: Answer, version: int | None, output: str, *, until: datetime | None = None
) -> None:
    with open_database(Settings.load()) as database:
        answers = DatabaseAnswers(database)
        view, changed = answers.answer(suggestion_id, answer, now=datetime.now(UTC), until=until, version=version)
        busy = _has_become_busy(answers, view, answer)
    _tell(view, output, changed=changed, busy=busy)


def _has_become_busy(answers: DatabaseAnswers, view: SuggestionView, answer: Answer) -> bool:
    return answer is Answer.ACCEPT and answers.time_is_busy(view)


def _open(settings: Settings, database: Database, meant: ActionToken, output: str, now: datetime) -> None:
    answers = DatabaseAnswers(database)
    links = links_of(settings, database) if settings.action_base_url else None
    views = answers.of_digest(meant.subject)
    documents = [
        _document(view) | {"links": dict(links.of_suggestion(view.item, view.user_id, now=now)) if links else {}}
        for view in views
    ]
    owner = answers.binding(meant)
    end_sms = links.end_sms(meant.subject, owner.user_id, now=now) if links and owner else None
    if output == JSON:
        echo_json({"action": "open", "suggestions": documents, "links": {"endSms": end_sms} if end_sms else {}})
        return
    for view, document in zip(views, documents, strict=True):
        click.echo(_line(view))
        for action, address in document["links"].items():
            click.echo(f"  {action}: {address}")
    if end_sms:
        click.echo(f"no more SMS: {end_sms}")


def _unsubscribe(settings: Settings, database: Database, meant: ActionToken, output: str, now: datetime) -> None:
    channel, action, words = _OPT_OUTS[meant.action]
    addresses = DatabaseAddresses(database, lambda: encryption_of(settings, database))
    if not addresses.opt_out_of_digest(meant.subject, channel, now=now):
        raise PermanentError(f"the digest of this link was not sent by {channel}")
    if output == JSON:
        echo_json({"action": action})
    else:
        click.echo(words)


def _tell(view: SuggestionView, output: str, *, changed: bool, busy: bool) -> None:
    if output == JSON:
        echo_json(_document(view) | {"changed": changed} | ({"warning": _BUSY} if busy else {}))
        return
    click.echo(f"{'' if changed else 'already '}{_line(view)}")
    if busy:
        click.echo(f"Warning: {_BUSY}", err=True)


def _line(view: SuggestionView) -> str:
    until = f" until {format_utc(view.snoozed_until)}" if view.snoozed_until else ""
    who, when = contact_name(view.item, _NAME_WIDTH), short_time(view.item, ZoneInfo(view.time_zone))
    return f"{view.status.value}{until}: {who}, {when}"


def _table(views: Sequence[SuggestionView]) -> None:
    rows = [
        {
            "id": view.id,
            "status": view.status.value,
            "contact": contact_name(view.item, _NAME_WIDTH),
            "when": short_time(view.item, ZoneInfo(view.time_zone)),
            "how": mode_words(view.item),
            "why": clean(view.item.reason, _REASON_WIDTH),
        }
        for view in views
    ]
    echo_rows(_COLUMNS, rows, TEXT)


def _document(view: SuggestionView) -> dict[str, Any]:
    item = view.item
    return {
        "id": view.id,
        "user": view.user_id,
        "status": view.status.value,
        "trigger": view.trigger,
        "contact": item.contact,
        "startAt": format_utc(item.start_at),
        "endAt": format_utc(item.end_at),
        "timeZone": view.time_zone,
        "contactTimeZone": item.contact_zone,
        "mode": item.mode,
        "reason": item.reason,
        "snoozedUntil": format_utc(view.snoozed_until) if view.snoozed_until else None,
        "deliveredAt": format_utc(view.delivered_at) if view.delivered_at else None,
        "version": view.version,
    }
