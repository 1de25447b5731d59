"""Command line of the double: `python -m catchup_dev.doubles.twilio --help`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from catchup_dev.doubles.client import ControlClient, ControlError
from catchup_dev.doubles.command import pairs
from catchup_dev.doubles.twilio.messages import ACCOUNT_SID, AUTH_TOKEN, SENDER

DEFAULT_URL = "http://127.0.0.1:8971"
EXAMPLES = f"""environment of the jobs:
  CATCHUP_TWILIO_ACCOUNT_SID={ACCOUNT_SID}
  CATCHUP_TWILIO_AUTH_TOKEN={AUTH_TOKEN}
  CATCHUP_TWILIO_FROM={SENDER}
  CATCHUP_TWILIO_API_BASE_URL=http://HOST:8971

examples:
  serve --host 0.0.0.0 --port 8971 --outbox outbox
  call messages
  call stop number=+15550100001
  call outcome number=+15550100001 status=undelivered error_code=30003
  call add_fault kind=create status=429 code=20429 retry_after="2"
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m catchup_dev.doubles.twilio",
        description="A scripted double of Twilio's messaging API.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--url", default=os.environ.get("TWILIO_DOUBLE_URL", DEFAULT_URL), help="the running double")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    command = commands.add_parser("serve", help="run the double")
    command.add_argument("--host", default="127.0.0.1")
    command.add_argument("--port", type=int, default=8971)
    command.add_argument("--outbox", type=Path, help="write every accepted message there, as *.sms.json")
    command = commands.add_parser("call", help="run a command of messages.Control")
    command.add_argument("name")
    command.add_argument("fields", nargs="*", metavar="NAME=VALUE")
    options = parser.parse_args(arguments)
    if options.command == "serve":
        serve(options.host, options.port, options.outbox)
        return 0
    try:
        named = {name: str(value) if name in _TEXTS else value for name, value in pairs(options.fields).items()}
        result = ControlClient(options.url).call(options.name, **named)
    except (ControlError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if result is not None:
        print(json.dumps(result, indent=2, ensure_ascii=False))
    return 0


# Text even where it looks like a number.
_TEXTS = frozenset({"number", "to", "retry_after"})


def serve(host: str, port: int, outbox: Path | None) -> None:
    """Serve until SIGTERM or SIGINT."""
    from catchup_dev.doubles.twilio.server import running  # noqa: PLC0415 - the other command needs no server

    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with running(host=host, port=port, outbox=outbox) as server:
        print(f"Twilio's double listens on {server.url}", flush=True)
        signal.sigwait(signals)


if __name__ == "__main__":
    sys.exit(main())
