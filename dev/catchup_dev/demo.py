"""`make demo`: the product on a real local Kubernetes, from nothing to synced calendars, told as it happens."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from catchup_dev.cluster import Cluster, Failure
from catchup_dev.cluster.layout import CHECKOUT
from catchup_dev.console import Console
from catchup_dev.stack import CHART, RELEASE, Stack

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES: Final = CHECKOUT / "examples"
USERS: Final = EXAMPLES / "users" / "users.json"
_BIN: Final = ".local/bin"

# user -> Google account, zone, events (id, title, when, minutes, repetition); the times are the calendar's.
CALENDARS: Final[dict[str, tuple[str, str, list[tuple[str, str, str, int, str | None]]]]] = {
    "ada": (
        "ada@example.com",
        "Europe/Berlin",
        [
            ("standup", "Standup", "+0d 09:30", 30, "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"),
            ("dentist", "Dentist", "+1d 15:00", 90, None),
            ("climbing", "Climbing", "+2d 18:00", 120, None),
        ],
    ),
    "grace": (
        "grace@example.com",
        "America/New_York",
        [
            ("review", "Compiler review", "+1d 10:00", 120, None),
            ("lunch", "Lunch", "+0d 12:00", 60, "FREQ=DAILY"),
        ],
    ),
    "zaha": (
        "zaha@example.com",
        "Asia/Beirut",
        [
            ("site", "Site visit", "+1d 09:00", 240, None),
            ("drawing", "Drawing class", "+3d 17:00", 120, None),
        ],
    ),
}
MOVED: Final = ("ada", "dentist", "+3d 11:00", 90)


class Demo:
    """The steps of the demo, each idempotent, so that a second run ends in the same state."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._cluster = Cluster(console=console, helm=True)
        self._stack = Stack(self._cluster, console=console)

    def run(self) -> None:
        """Run all steps."""
        started = time.monotonic()
        if os.geteuid() != 0:
            raise Failure("The demo runs pods, and a node needs root.", todo="run `make demo` as root.")
        self._say("1. A real Kubernetes on this machine")
        self._cluster.up()
        self._say("2. Images, and a stand-in for Google")
        built = self._stack.load_images()
        self._stack.start_google()
        self._fill_calendars()
        self._say("3. The product")
        self._stack.make_namespace()
        values = self._stack.write_values(self._stack.values(built))
        with self._console.step("helm upgrade --install"):
            self._stack.helm("upgrade", "--install", RELEASE, str(CHART), "--values", str(values), "--timeout=4m")
            self._stack.wait_for_operator()
        self._say("4. Three users, their calendars connected, one UserSchedule each")
        self._connect_users()
        self._type("apply", "-f", str(EXAMPLES.relative_to(CHECKOUT)))
        self._say("5. One sync each, by hand instead of waiting for its slot")
        self._sync(*CALENDARS)
        self._week("ada")
        user, event, at, minutes = MOVED
        self._say(f"6. {user.capitalize()} moves the dentist to another day; the next sync shows it")
        self._stack.google.move_event(CALENDARS[user][0], event, at=at, minutes=minutes)
        self._sync(user)
        self._week(user)
        self._say("7. What there is now")
        self._type("get", "userschedules")
        self._type("get", "cronjobs")
        self._next(time.monotonic() - started)

    def down(self) -> None:
        """End everything that `run` started."""
        self._stack.stop_doubles()
        self._cluster.down()

    def _fill_calendars(self) -> None:
        google = self._stack.google
        for email, zone, events in CALENDARS.values():
            google.add_user(email, zone)
            for event, title, at, minutes, repeat in events:
                google.add_event(email, event, title, at=at, minutes=minutes, repeat=repeat)

    def _connect_users(self) -> None:
        self._echo(f"$ catchup-jobs user import - < {USERS.relative_to(CHECKOUT)}   # in the toolbox pod")
        self._echo(self._stack.catchup_jobs("user", "import", "-", stdin=USERS.read_text()))
        for user, (email, _, _) in CALENDARS.items():
            token = json.dumps(self._stack.google.grant(email, client_id="catchup-demo"))
            self._echo(f"$ catchup-jobs calendar connect {user} --token-file -")
            self._echo(self._stack.catchup_jobs("calendar", "connect", user, "--token-file", "-", stdin=token))

    def _sync(self, *users: str) -> None:
        jobs: dict[str, str] = {}
        for user in users:
            cronjob = self._stack.cronjob_of(user)
            jobs[user] = self._stack.trigger_sync(user)
            self._echo(f"$ kubectl create job {jobs[user]} --from=cronjob/{cronjob}")
        for user, job in jobs.items():
            with self._console.step(f"Sync of {user}"):
                status = self._stack.follow(user, job)
            self._echo(f"    {status['lastResult']}: {_counts(status)}")
            if status["lastResult"] != "Succeeded":
                raise Failure(
                    f"The sync of {user} ended as {status['lastResult']} ({status.get('lastReason')}).",
                    log=self._stack.kubectl("logs", f"job/{job}"),
                )

    def _week(self, user: str) -> None:
        self._echo(f"$ catchup-jobs calendar week {user}")
        self._echo(self._stack.catchup_jobs("calendar", "week", user))

    def _type(self, *arguments: str) -> None:
        self._echo(f"$ kubectl {' '.join(arguments)}")
        self._echo(self._stack.kubectl(*arguments))

    def _next(self, seconds: float) -> None:
        google = self._stack.google
        self._say(f"The cluster stays up ({seconds:.0f} s). Try:")
        self._echo(
            f"""  export KUBECONFIG=$PWD/.local/kubeconfig PATH=$PWD/{_BIN}:$PATH
  kubectl config set-context --current --namespace={self._stack.namespace}
  kubectl get userschedules -o wide
  kubectl explain userschedule.spec
  kubectl describe userschedule ada
  kubectl patch userschedule ada --type merge -p '{{"spec":{{"calendarSync":{{"every":"10m"}}}}}}'
  kubectl delete cronjob --all        # and see them come back
  kubectl exec deploy/{RELEASE}-toolbox -- catchup-jobs user show ada
  PYTHONPATH=dev .venv/bin/python -m catchup_dev.doubles.google --url {google.url} --help
  make demo-down"""
        )

    def _say(self, text: str) -> None:
        print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)

    def _echo(self, text: str) -> None:
        print(text.rstrip("\n"), flush=True)


def _counts(status: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(status.get("counts", {}).items())) or "no counts"


def main(arguments: list[str] | None = None) -> int:
    """Run the demo or end it; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m catchup_dev.demo", description=__doc__)
    parser.add_argument("command", choices=["up", "down"])
    given = parser.parse_args(arguments)
    os.chdir(CHECKOUT)
    demo = Demo(Console())
    steps: dict[str, Callable[[], None]] = {"up": demo.run, "down": demo.down}
    try:
        steps[given.command]()
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; `make demo` goes on from here, `make demo-down` ends it.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
