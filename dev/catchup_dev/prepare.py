"""`python -m catchup_dev.prepare`: what the tests need on the machine, installed and built.

Before the test runner starts, which would hide for minutes what goes on; nothing to do on later runs.
"""

from __future__ import annotations

import os
import sys

from catchup_dev import binaries, packages
from catchup_dev.cluster.needs import Needs
from catchup_dev.console import Console, exit_code_of


def prepare() -> int:
    """Install and build what is missing; return the exit code. Raises Failure."""
    console = Console()
    with_node = os.geteuid() == 0
    needs = Needs(node=with_node, helm=True)
    needs.announce(console)
    packages.ensure({**packages.TESTS, **(packages.NODE | packages.IMAGES if with_node else {})}, console)
    needs.ensure(console)
    binaries.ensure(["cron-oracle"], console)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(prepare, interrupted="nothing half-done is kept."))
