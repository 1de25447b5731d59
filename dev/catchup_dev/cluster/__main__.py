"""The command line: `python -m catchup_dev.cluster up|down|status`."""

from __future__ import annotations

import argparse
import sys
import time

from catchup_dev.cluster import DEMO, Cluster
from catchup_dev.console import Console, exit_code_of

_OK, _UNHEALTHY, _NOT_RUNNING = 0, 2, 3


def _up(cluster: Cluster, console: Console) -> int:
    started = time.monotonic()
    cluster.up()
    console.say(f"Cluster {cluster.name} is up ({time.monotonic() - started:.1f} s).")
    print(f"export KUBECONFIG={cluster.kubeconfig}")
    return _OK


def _down(cluster: Cluster, console: Console) -> int:
    started = time.monotonic()
    cluster.down()
    console.say(f"Cluster {cluster.name} is down, nothing is left of it ({time.monotonic() - started:.1f} s).")
    return _OK


def _status(cluster: Cluster, console: Console) -> int:
    rows = cluster.status()
    if not rows:
        console.say(f"Cluster {cluster.name} is not running.")
        return _NOT_RUNNING
    print(f"{'COMPONENT':<26}{'HEALTHY':<9}{'ADDRESS':<34}VERSION")
    for row in rows:
        print(f"{row.name:<26}{'yes' if row.healthy else 'NO':<9}{row.address:<34}{row.version}".rstrip())
    print(f"\nkubeconfig    {cluster.kubeconfig}\nthis machine  {cluster.host_address} (as pods reach it)")
    return _OK if all(row.healthy for row in rows) else _UNHEALTHY


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m catchup_dev.cluster", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "status"])
    parser.add_argument("--name", default=DEMO, help="which cluster; several run side by side (default: %(default)s)")
    parser.add_argument("--control-plane-only", action="store_true", help="no node, so no pods; what non-root gets")
    given = parser.parse_args(arguments)
    console = Console()

    def run() -> int:
        node = False if given.control_plane_only else None
        cluster = Cluster(given.name, node=node, helm=True, console=console)
        return {"up": _up, "down": _down, "status": _status}[given.command](cluster, console)

    return exit_code_of(run, interrupted="`up` continues, `down` removes what there is.")


if __name__ == "__main__":
    sys.exit(main())
