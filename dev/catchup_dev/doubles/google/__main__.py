"""Command line of the double: `python -m catchup_dev.doubles.google --help`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catchup_dev.doubles import command as control_command
from catchup_dev.doubles.google.client import DEFAULT_URL, ControlError, GoogleDouble

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = """examples:
  serve --host 0.0.0.0 --port 8970 --state google.json
  user add ada@example.com --time-zone Europe/Berlin
  user grant ada@example.com > token.json        # a token file for `catchup-jobs calendar connect`
  calendar add ada@example.com team --summary Team
  event add ada@example.com --id dentist --title Dentist --at "+1d 15:00" --minutes 45
  event add team --id standup --title Standup --at "+0d 09:30" --minutes 15 --repeat "FREQ=WEEKLY;BYDAY=MO,WE,FR"
  event move ada@example.com dentist --at "+2d 10:00"
  event delete ada@example.com dentist
  fault add kind=events status=429 retry_after=2 times=3
  requests --counts
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], Any] = options.run
    try:
        result = run(options)
    except ControlError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if result is not None:
        print(json.dumps(result, indent=2))
    return 0


def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT."""
    # The clients of the other commands need not pay for the server.
    from catchup_dev.doubles.google.server import running  # noqa: PLC0415

    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with running(host=options.host, port=options.port, state=options.state) as server:
        for client in options.client:
            client_id, _, secret = client.partition(":")
            server.control.add_client(client_id, secret)
        print(f"Google's double listens on {server.url}", flush=True)
        signal.sigwait(signals)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m catchup_dev.doubles.google",
        description="A scripted double of Google's OAuth and Calendar endpoints.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--url", default=os.environ.get("GOOGLE_DOUBLE_URL", DEFAULT_URL), help="the running double")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("serve", help="run the double")
    command.add_argument("--host", default="127.0.0.1")
    command.add_argument("--port", type=int, default=8970)
    command.add_argument("--state", type=Path, help="keep users, events and tokens in this file over restarts")
    command.add_argument("--client", action="append", default=[], metavar="ID:SECRET", help="another OAuth client")
    command.set_defaults(run=serve)

    _add_users(commands.add_parser("user", help="users and their consent").add_subparsers(required=True))
    _add_calendars(commands.add_parser("calendar", help="calendars of a user").add_subparsers(required=True))
    _add_events(commands.add_parser("event", help="events of a calendar").add_subparsers(required=True))
    _add_faults(commands.add_parser("fault", help="scripted faults").add_subparsers(required=True))

    command = commands.add_parser("set", help="settings, e.g. page_size=2 access_token_seconds=60")
    command.add_argument("settings", nargs="+", metavar="NAME=VALUE")
    command.set_defaults(run=lambda options: _double(options).set(**_pairs(options.settings)))

    command = commands.add_parser("requests", help="the log of requests")
    command.add_argument("--counts", action="store_true", help="only how many of each kind")
    command.add_argument("--clear", action="store_true", help="empty the log afterwards")
    command.set_defaults(run=_requests)

    command = commands.add_parser("reset", help="forget everything")
    command.set_defaults(run=lambda options: _double(options).reset())
    return parser


def _add_users(commands: Any) -> None:
    command = commands.add_parser("add", help="add a user with a primary calendar of the same id")
    command.add_argument("email")
    command.add_argument("--time-zone", default="UTC")
    command.set_defaults(run=lambda options: _double(options).add_user(options.email, options.time_zone))
    command = commands.add_parser("grant", help="consent for a user; prints a token file")
    command.add_argument("email")
    command.set_defaults(run=lambda options: _double(options).grant(options.email))
    command = commands.add_parser("revoke", help="take the consent back")
    command.add_argument("email")
    command.set_defaults(run=lambda options: _double(options).revoke(options.email))


def _add_calendars(commands: Any) -> None:
    command = commands.add_parser("add", help="put a calendar on a user's list")
    command.add_argument("email")
    command.add_argument("calendar")
    command.add_argument("--summary")
    command.add_argument("--time-zone", default="UTC")
    command.set_defaults(
        run=lambda options: _double(options).add_calendar(
            options.email, options.calendar, options.summary, options.time_zone
        )
    )
    command = commands.add_parser("remove", help="take a calendar off a user's list")
    command.add_argument("email")
    command.add_argument("calendar")
    command.set_defaults(run=lambda options: _double(options).remove_calendar(options.email, options.calendar))
    command = commands.add_parser("expire-sync-tokens", help="answer its sync tokens with 410 fullSyncRequired")
    command.add_argument("calendar")
    command.set_defaults(run=lambda options: _double(options).invalidate_sync_tokens(options.calendar))


def _add_events(commands: Any) -> None:
    at_help = "calendar's local time: '2026-11-24 15:00', or '+1d 15:00' from today; the date alone with --days"
    command = commands.add_parser("add", help="add an event")
    command.add_argument("calendar")
    command.add_argument("--id", required=True, dest="event")
    command.add_argument("--title", required=True)
    command.add_argument("--repeat", metavar="RRULE", help="e.g. FREQ=WEEKLY;BYDAY=MO")
    command.add_argument("--free", action="store_true", help="does not block (transparency: transparent)")
    command.set_defaults(
        run=lambda options: _double(options).add_event(
            options.calendar,
            options.event,
            options.title,
            at=options.at,
            minutes=options.minutes,
            days=options.days,
            repeat=options.repeat,
            free=options.free,
        )
    )
    move = commands.add_parser("move", help="move an event to another time")
    move.add_argument("calendar")
    move.add_argument("event")
    move.set_defaults(
        run=lambda options: _double(options).move_event(
            options.calendar, options.event, at=options.at, minutes=options.minutes, days=options.days
        )
    )
    for timed in (command, move):
        timed.add_argument("--at", required=True, help=at_help)
        timed.add_argument("--minutes", type=int, default=60)
        timed.add_argument("--days", type=int, default=0, help="make it an all-day event of so many days")
    command = commands.add_parser("delete", help="delete an event")
    command.add_argument("calendar")
    command.add_argument("event")
    command.set_defaults(run=lambda options: _double(options).delete_event(options.calendar, options.event))
    command = commands.add_parser("list", help="the events of a calendar")
    command.add_argument("calendar")
    command.set_defaults(run=lambda options: _double(options).list_events(options.calendar))


def _add_faults(commands: Any) -> None:
    command = commands.add_parser("add", help="script a fault; prints its id")
    command.add_argument("fields", nargs="+", metavar="NAME=VALUE", help="of faults.Fault, e.g. kind=events status=503")
    command.set_defaults(run=lambda options: _double(options).add_fault(**_pairs(options.fields)))
    command = commands.add_parser("list", help="the faults and how often each fired")
    command.set_defaults(run=lambda options: _double(options).faults())
    command = commands.add_parser("clear", help="drop all faults")
    command.set_defaults(run=lambda options: _double(options).clear_faults())


def _requests(options: argparse.Namespace) -> Any:
    double = _double(options)
    entries = double.requests()
    if options.clear:
        double.clear_requests()
    if not options.counts:
        return entries
    counts: dict[str, int] = {}
    for entry in entries:
        name = "-".join(filter(None, (entry["kind"], entry["sync"])))
        counts[name] = counts.get(name, 0) + 1
    return counts


def _double(options: argparse.Namespace) -> GoogleDouble:
    return GoogleDouble(options.url)


def _pairs(texts: list[str]) -> dict[str, Any]:
    try:
        pairs = control_command.pairs(texts)
    except ValueError as error:
        raise ControlError(str(error)) from None
    # An HTTP header's value is text even when it looks like a number.
    if "retry_after" in pairs:
        pairs["retry_after"] = str(pairs["retry_after"])
    return pairs


if __name__ == "__main__":
    sys.exit(main())
