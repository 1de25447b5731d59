"""`python -m catchup_dev.prepare`: what the tests need on the machine, installed and built.

Before the test runner starts, which would hide for minutes what goes on; nothing to do on later runs.
"""

from __future__ import annotations

import os
import sys

from catchup_dev import binaries, packages
from catchup_dev.cluster.needs import Needs
from catchup_dev.console import Console, Failure


def main() -> int:
    """Install and build what is missing; return the exit code."""
    console = Console()
    with_node = os.geteuid() == 0
    needs = Needs(node=with_node, helm=True)
    try:
        needs.announce(console)
        packages.ensure({**packages.TESTS, **(packages.NODE | packages.IMAGES if with_node else {})}, console)
        needs.ensure(console)
        binaries.ensure(["cron-oracle"], console)
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; nothing half-done is kept.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
