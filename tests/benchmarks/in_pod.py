"""Runs the operator as in a pod of its image: with a service account, and without the Kubernetes client.

Started by `reconciliation.py` with the directory of the service account as its argument.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast


def main() -> None:
    """Run `catchup-operator run`."""
    # The import system takes None for a module that is not there.
    cast(Any, sys.modules)["kubernetes"] = None
    from catchup_operator import cli  # noqa: PLC0415
    from catchup_operator.kube import service_account  # noqa: PLC0415

    cast(Any, service_account).DIRECTORY = Path(sys.argv[1])
    cli.main(["run", "--json-logs"])


if __name__ == "__main__":
    main()
