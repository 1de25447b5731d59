"""Command line of the double: `python -m catchup_dev.doubles.smtp --help`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
from pathlib import Path

from catchup_dev.doubles.client import ControlClient, ControlError
from catchup_dev.doubles.command import pairs
from catchup_dev.doubles.smtp.control import PASSWORD, USERNAME

DEFAULT_URL = "http://127.0.0.1:8973"
EXAMPLES = f"""environment of the jobs:
  CATCHUP_SMTP_HOST=HOST CATCHUP_SMTP_PORT=8972 CATCHUP_SMTP_FROM="CatchUp <digest@example.com>"
  CATCHUP_SMTP_USERNAME={USERNAME} CATCHUP_SMTP_PASSWORD={PASSWORD}
  CATCHUP_SMTP_CA_FILE=FILE    the file of `serve --ca-file`; or CATCHUP_SMTP_SECURITY=none, without a login

examples:
  serve --host 0.0.0.0 --port 8972 --control-port 8973 --outbox outbox --name smtp-double --ca-file smtp.crt
  call messages
  call set starttls=false
  call add_fault stage=rcpt reply="451 later"
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m catchup_dev.doubles.smtp",
        description="A real SMTP server whose conversations can be scripted.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--url", default=os.environ.get("SMTP_DOUBLE_URL", DEFAULT_URL), help="the control API")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    command = commands.add_parser("serve", help="run the double")
    command.add_argument("--host", default="127.0.0.1")
    command.add_argument("--port", type=int, default=8972)
    command.add_argument("--control-port", type=int, default=8973)
    command.add_argument("--outbox", type=Path, help="write every accepted message there, as *.eml")
    command.add_argument("--name", action="append", default=[], help="another host name in the certificate")
    command.add_argument("--ca-file", type=Path, help="write the certificate there")
    command = commands.add_parser("call", help="run a command of control.Control")
    command.add_argument("name")
    command.add_argument("fields", nargs="*", metavar="NAME=VALUE")
    options = parser.parse_args(arguments)
    if options.command == "serve":
        serve(options)
        return 0
    try:
        result = ControlClient(options.url).call(options.name, **pairs(options.fields))
    except (ControlError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if result is not None:
        print(json.dumps(result, indent=2, ensure_ascii=False))
    return 0


def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT."""
    from catchup_dev.doubles.smtp.server import running  # noqa: PLC0415 - the other command needs no server

    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with running(
        host=options.host,
        port=options.port,
        control_port=options.control_port,
        outbox=options.outbox,
        names=tuple(options.name),
    ) as double:
        if options.ca_file is not None:
            shutil.copyfile(double.ca_file, options.ca_file)
        print(f"SMTP's double listens on port {double.port}, its control API on {double.control_url}", flush=True)
        signal.sigwait(signals)


if __name__ == "__main__":
    sys.exit(main())
