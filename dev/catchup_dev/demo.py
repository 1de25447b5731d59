"""`make demo`: the product on a real local Kubernetes, from nothing to digests and a dead letter."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import time
from email import message_from_bytes, policy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from catchup_contract.api import LABEL_USER_SCHEDULE
from catchup_contract.kinds import SYNC
from catchup_dev.cluster.layout import CHECKOUT
from catchup_dev.console import Console, Failure, exit_code_of
from catchup_dev.places import CLUSTERS, OUTBOX, pick
from catchup_dev.stack import RELEASE
from catchup_jobs.jobs.run.retries import retry_delays

if TYPE_CHECKING:
    from collections.abc import Callable

    from catchup_dev.places import Place

EXAMPLES: Final = CHECKOUT / "examples"
USERS: Final = EXAMPLES / "users" / "users.json"

# user -> Google account, zone, events (id, title, when, minutes, repetition); the times are the calendar's.
CALENDARS: Final[dict[str, tuple[str, str, list[tuple[str, str, str, int, str | None]]]]] = {
    "ada": (
        "ada@example.com",
        "Europe/Berlin",
        [
            ("standup", "Standup", "+0d 09:30", 30, "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"),
            ("dentist", "Dentist", "+1d 15:00", 90, None),
            ("climbing", "Climbing at the boulder hall", "+2d 18:00", 120, None),
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
# Users of the pool, in the same form. They have no UserSchedule.
POOLED: Final[dict[str, tuple[str, str, list[tuple[str, str, str, int, str | None]]]]] = {
    "lin": ("lin@example.com", "Asia/Taipei", [("yoga", "Yoga", "+1d 19:00", 60, None)]),
    "omar": ("omar@example.com", "Africa/Cairo", [("rehearsal", "Rehearsal", "+2d 20:00", 120, None)]),
}
POOL: Final = "people"
# Whom Ada says yes to.
ACCEPTED: Final = ("ada", "Mei Tanaka")
# Whose sync becomes a dead letter.
FAILING: Final = "grace"
MOVED: Final = ("ada", "dentist", "+3d 11:00", 90)


class Demo:
    """The steps of the demo, each idempotent, so that a second run ends in the same state."""

    def __init__(self, place: Place, console: Console) -> None:
        self._console = console
        self._place = place
        self._stack = place.stack

    def run(self) -> None:
        """Run all steps."""
        started = time.monotonic()
        self._place.prepare(self._say)
        self._fill_calendars()
        self._say("3. The product")
        with self._console.step("helm upgrade --install"):
            self._place.install()
        self._say(
            "4. Five users, their contacts, calendars and addresses; a UserSchedule each for three, a pool for two"
        )
        self._connect_users()
        self._type("apply", "-f", str(EXAMPLES.relative_to(CHECKOUT)))
        self._say("5. One sync each, by hand instead of waiting for its slot")
        self._run("sync", *CALENDARS)
        self._week("ada")
        user, event, at, minutes = MOVED
        self._say(f"6. {user.capitalize()} moves the dentist to another day; the next sync shows it")
        self._stack.google.move_event(CALENDARS[user][0], event, at=at, minutes=minutes)
        self._run("sync", user)
        self._week(user)
        *delays, last = (f"{delay:.0f}" for delay in retry_delays(SYNC))
        again = f"her sync is tried again after {', '.join(delays)} and {last} s"
        self._say(f"7. Google stops answering for Grace; {again} while we go on")
        failing = self._start_failing(FAILING)
        self._say("8. Suggestions for the whole fleet: whom to meet, when, why")
        self._suggest()
        for user in CALENDARS:
            self._tell("suggestion", "list", user)
        self._say(
            "9. A digest each: Ada by SMS, Grace (who agreed to no SMS) by email, Zaha by both, but no SMS at night"
        )
        self._run("digest", *CALENDARS)
        self._show_messages()
        self._answer(*ACCEPTED)
        self._dead_letter(FAILING, failing)
        self._serve_pool()
        self._say("13. What there is now")
        self._type("get", "userschedules")
        self._type("get", "cronjobs")
        self._next(time.monotonic() - started)

    def down(self) -> None:
        """End everything that `run` started."""
        self._place.down()

    def _fill_calendars(self) -> None:
        google = self._stack.google
        google.clear_faults()  # an interrupted demo leaves one
        for email, zone, events in (*CALENDARS.values(), *POOLED.values()):
            google.add_user(email, zone)
            for event, title, at, minutes, repeat in events:
                google.add_event(email, event, title, at=at, minutes=minutes, repeat=repeat)
        google.put_event("ada@example.com", "climbing", {"location": "Hauptstr. 9, Berlin"})

    def _connect_users(self) -> None:
        self._echo(f"$ catchup-jobs user import - < {USERS.relative_to(CHECKOUT)}   # in the toolbox pod")
        self._echo(self._stack.catchup_jobs("user", "import", "-", stdin=USERS.read_text()))
        for user, (email, _, _) in (*CALENDARS.items(), *POOLED.items()):
            token = json.dumps(self._stack.google.grant(email, client_id="catchup-demo"))
            self._echo(f"$ catchup-jobs calendar connect {user} --token-file -")
            self._echo(self._stack.catchup_jobs("calendar", "connect", user, "--token-file", "-", stdin=token))

    def _run(self, job: str, *users: str) -> None:
        names = {user: self._start(job, user) for user in users}
        for user, name in names.items():
            with self._console.step(f"{job.capitalize()} of {user}"):
                status = self._stack.follow(user, name, job)
            reason = f" ({status['lastReason']})" if status.get("lastReason") else ""
            self._echo(f"    {status['lastResult']}{reason}: {_counts(status)}")
            if status["lastResult"] == "Failed" or (job == "sync" and status["lastResult"] != "Succeeded"):
                raise Failure(
                    f"The {job} of {user} ended as {status['lastResult']} ({status.get('lastReason')}).",
                    log=self._stack.kubectl("logs", f"job/{name}"),
                )

    def _start(self, job: str, user: str) -> str:
        cronjob = self._stack.cronjob_of(user, job)
        name = self._stack.trigger(user, job)
        self._echo(f"$ kubectl create job {name} --from=cronjob/{cronjob}")
        return name

    def _start_failing(self, user: str) -> str:
        self._stack.google.add_fault(kind="events", user=CALENDARS[user][0], status=503, times=None)
        return self._start("sync", user)

    def _dead_letter(self, user: str, name: str) -> None:
        self._say(f"11. {user.capitalize()}'s sync was given up: a dead letter, its reason, and its retry")
        with self._console.step(f"Sync of {user}"):
            status = self._stack.follow(user, name)
        if status["lastResult"] != "Failed":
            raise Failure(f"The sync of {user} ended as {status['lastResult']}: Google's fault did not reach it.")
        self._echo(f"$ kubectl describe userschedule {user} | sed -n '/^Events:/,$p'")
        _, events, told = self._stack.kubectl("describe", "userschedule", user).partition("\nEvents:")
        self._echo(events.strip() + told)
        self._tell("failures", "list", accept=(1,))
        self._echo("Google answers again.")
        self._stack.google.clear_faults()
        self._tell("failures", "retry", "--user", user)
        self._run("sync", user)
        self._type("wait", "--for=condition=SyncHealthy", f"userschedule/{user}", "--timeout=10s")

    def _serve_pool(self) -> None:
        self._say("12. Two more users are served by a pool: two CronJobs, however many users there are")
        name = f"tick-{secrets.token_hex(3)}"
        self._type("create", "job", name, f"--from=cronjob/{POOL}-pool-sync")
        with self._console.step(f"A tick of {POOL}"):
            self._stack.kubectl("wait", "--for=condition=Complete", f"job/{name}", "--timeout=90s")
        self._type(
            "wait", "--for=jsonpath={.status.synced}=" + str(len(POOLED)), f"schedulepool/{POOL}", "--timeout=30s"
        )
        self._type("get", "schedulepools")
        self._tell("pool", "show")

    def _suggest(self) -> None:
        cronjob = f"{RELEASE}-suggestions"
        name = f"suggestions-{secrets.token_hex(3)}"
        self._type("create", "job", name, f"--from=cronjob/{cronjob}")
        with self._console.step("Suggestions"):
            self._stack.kubectl("wait", "--for=condition=Complete", f"job/{name}", "--timeout=90s")

    def _show_messages(self) -> None:
        self._stack.stand_ins.collect_messages()
        for file in sorted(OUTBOX.glob("*.sms.json")):
            sms = json.loads(file.read_text())
            self._echo(f"\n{file.relative_to(CHECKOUT)}   to {sms['to']}\n{_indented(sms['body'])}")
        for file in sorted(OUTBOX.glob("*.eml")):
            email = message_from_bytes(file.read_bytes(), policy=policy.default)
            text = email.get_body(("plain",))
            self._echo(f"\n{file.relative_to(CHECKOUT)}   to {email['To']}   (plain text; it has HTML too)")
            self._echo(_indented(f"Subject: {email['Subject']}\n\n{text.get_content() if text else ''}"))

    def _answer(self, user: str, contact: str) -> None:
        self._say(f"10. {user.capitalize()} accepts {contact}, who is then gone from the next digest")
        listed = json.loads(self._stack.catchup_jobs("suggestion", "list", user, "--output", "json"))
        chosen = next((each for each in listed if each["contact"] == contact), None)
        if chosen is None:
            raise Failure(f"{user.capitalize()} has no suggestion to meet {contact}.", log=json.dumps(listed, indent=2))
        self._tell("suggestion", "accept", str(chosen["id"]))
        self._tell("digest", "--user", user, "--preview")

    def _tell(self, *arguments: str, accept: tuple[int, ...] = (0,)) -> None:
        self._echo(f"$ catchup-jobs {' '.join(arguments)}")
        self._echo(self._stack.catchup_jobs(*arguments, accept=accept))

    def _week(self, user: str) -> None:
        self._tell("calendar", "week", user)

    def _type(self, *arguments: str) -> None:
        self._echo(f"$ kubectl {' '.join(arguments)}")
        self._echo(self._stack.kubectl(*arguments))

    def _next(self, seconds: float) -> None:
        google = self._stack.google
        self._say(f"The product stays up ({seconds:.0f} s). Try:")
        self._echo(
            f"""{self._place.shell}
  kubectl config set-context --current --namespace={self._stack.namespace}
  kubectl get userschedules -o wide
  kubectl explain userschedule.spec
  kubectl describe userschedule ada
  kubectl patch userschedule ada --type merge -p '{{"spec":{{"calendarSync":{{"every":"10m"}}}}}}'
  kubectl delete cronjob -l {LABEL_USER_SCHEDULE}        # and see them come back
  kubectl exec deploy/{RELEASE}-toolbox -- catchup-jobs user show ada
  kubectl exec deploy/{RELEASE}-toolbox -- catchup-jobs runs list
  kubectl port-forward service/{RELEASE}-metrics 9464 & curl -s localhost:9464/metrics | grep catchup_
  PYTHONPATH=dev .venv/bin/python -m catchup_dev.doubles.google --url {google.url} --help
  make demo-down"""
        )

    def _say(self, text: str) -> None:
        print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)

    def _echo(self, text: str) -> None:
        print(text.rstrip("\n"), flush=True)


def _indented(text: str) -> str:
    return "\n".join(f"  | {line}" for line in text.rstrip().splitlines())


def _counts(status: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(status.get("counts", {}).items())) or "no counts"


def main(arguments: list[str] | None = None) -> int:
    """Run the demo or end it; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m catchup_dev.demo", description=__doc__)
    parser.add_argument("command", choices=["up", "down"])
    parser.add_argument("--cluster", choices=CLUSTERS, help="where (default: what is there; it says what it picked)")
    parser.add_argument("--registry", help="for `current`: where to push the images, and your cluster pulls them from")
    parser.add_argument("--values", type=Path, help="values of yours for the chart, on a cluster of yours")
    given = parser.parse_args(arguments)
    os.chdir(CHECKOUT)
    console = Console()
    steps: dict[str, Callable[[Demo], None]] = {"up": Demo.run, "down": Demo.down}

    def run() -> int:
        place = pick(given.cluster, registry=given.registry, values=given.values, console=console)
        steps[given.command](Demo(place, console))
        return 0

    return exit_code_of(run, interrupted="`make demo` goes on from here, `make demo-down` ends it.")


if __name__ == "__main__":
    sys.exit(main())
