"""The world of a story: users, servers that can fail, doubles of the providers, and the Jobs that Kubernetes starts."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import redis
from cryptography.fernet import Fernet
from integration.jobs.proxy import LossyProxy
from integration.jobs.story.placements import DEADLINE_SECONDS, POOL, Placements
from integration.services import RedisServer
from sqlalchemy import select

from catchup_contract.env import Env
from catchup_contract.kinds import BACKOFF_LIMIT, SYNC, Kind
from catchup_contract.outcomes import ExitCode, Outcome, Reason
from catchup_contract.run_keys import run_key
from catchup_contract.summary import Summary
from catchup_dev.doubles.google.store import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET
from catchup_dev.doubles.smtp.control import PASSWORD, USERNAME
from catchup_dev.doubles.twilio.messages import ACCOUNT_SID, AUTH_TOKEN, SENDER
from catchup_jobs.adapters.database.calendars.tokens import DatabaseTokens
from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.people.addresses import DatabaseAddresses
from catchup_jobs.adapters.database.people.users import DatabaseUsers
from catchup_jobs.adapters.database.schema import dead_letters, pool_slots, runs
from catchup_jobs.adapters.encryption import Encryption
from catchup_jobs.adapters.files.user_file import read_users
from catchup_jobs.domain.calendar.access_token import OAuthToken
from catchup_jobs.domain.stored_enums import RunState
from catchup_jobs.jobs.run.errors import TemporaryError

if TYPE_CHECKING:
    from pathlib import Path

    from integration.jobs.story.clock import Clock
    from integration.jobs.story.person import Person
    from integration.jobs.story.pods import Pod, Pods
    from integration.services import PostgresServer

    from catchup_dev.doubles.google.server import GoogleServer
    from catchup_dev.doubles.smtp.server import SmtpDouble
    from catchup_dev.doubles.twilio.server import TwilioServer

MAIL_SENDER: Final = "digest@example.com"
# Of the Job controller: the pause before the second pod, doubled each time.
_BACKOFF_SECONDS: Final = 10.0
_GRACE_SECONDS: Final = 30.0
_PATIENCE_SECONDS: Final = 120.0
T = TypeVar("T")


@dataclass(frozen=True)
class Machine:
    """What the stories of one test process share."""

    clock: Clock
    pods: Pods
    postgres: PostgresServer
    templates: dict[str, str]
    google: GoogleServer
    twilio: TwilioServer
    mail: SmtpDouble


@dataclass
class Task:
    """A Kubernetes Job.

    Attributes:
        subject: whom its run is for; the pool, of a tick.
        slot: None for one that was made by hand.
        pods: what its pods ended with: exit code and summary.
        pod: the latest.
        opened: whether the run was ever in the book.
        settled: whether the book ever said that it ended well; a pod may be killed when it had just said so.
        shard: which shard of how many a tick serves.
        is_tick: whether it serves the members of the pool, each in a run of their own.
        is_deleted: whether its CronJob was deleted, since the user moved into the pool.
    """

    kind: Kind
    subject: str
    slot: datetime | None
    uid: str
    person: Person | None = None
    pods: list[tuple[int, Summary | None]] = field(default_factory=list)
    pod: Pod | None = None
    opened: bool = False
    settled: bool = False
    shard: tuple[int, int] = (0, 1)
    is_tick: bool = False
    is_deleted: bool = False

    @property
    def key(self) -> str:
        if self.is_tick:
            return f"tick {self.uid} of {self.kind}"
        return run_key(self.kind, self.subject, slot=self.slot, manual_id=self.uid)

    @property
    def complete(self) -> bool:
        return bool(self.pods) and self.pods[-1][0] == ExitCode.DONE

    @property
    def summary(self) -> Summary | None:
        """Of its last pod."""
        return self.pods[-1][1] if self.pods else None


class FailoverRedis:
    """A Redis with a replica; clients reach whichever serves through a proxy."""

    def __init__(self) -> None:
        self.serving, self.spare = RedisServer(), RedisServer()
        self.serving.start()
        self._follow()
        self.proxy = LossyProxy(self.serving.port)

    @property
    def url(self) -> str:
        """Through the proxy."""
        return f"redis://127.0.0.1:{self.proxy.port}/0"

    def client(self, server: RedisServer | None = None) -> redis.Redis:
        """Return a client of a server, or else of the one that serves."""
        return redis.Redis.from_url((server or self.serving).url, decode_responses=True)

    def keys(self, server: RedisServer | None = None) -> set[str]:
        """Return the keys of a server, or else of the one that serves."""
        with self.client(server) as client:
            return set(client.scan_iter())

    def _follow(self) -> None:
        self.spare.start()
        with self.client() as serving, self.client(self.spare) as spare:
            serving.config_set("repl-diskless-sync-delay", "0")
            spare.replicaof("127.0.0.1", str(self.serving.port))

    def part(self) -> None:
        """Let the replica learn of nothing that comes after."""
        with self.client(self.spare) as spare:
            spare.replicaof("no", "one")

    def fail_over(self) -> None:
        """Lose the serving one; its replica takes over with what it has."""
        self.serving.stop()
        self.serving, self.spare = self.spare, self.serving
        self.proxy.server_port = self.serving.port
        self.proxy.cut()
        self._follow()

    def close(self) -> None:
        """Stop both."""
        self.proxy.close()
        self.serving.stop()
        self.spare.stop()


class World:
    """Everything there is, and what can be done to it."""

    def __init__(self, machine: Machine, backend: str, directory: Path, people: list[Person], *, name: str) -> None:
        self.machine, self.backend, self.directory, self.people = machine, backend, directory, people
        self.clock, self.pods, self.google = machine.clock, machine.pods, machine.google
        self.twilio, self.mail = machine.twilio.control, machine.mail.control
        self.trace: list[str] = []
        self.tasks: list[Task] = []
        self.running: list[Task] = []
        self.placements = Placements(directory)
        # By kind and user, the slots of which the book ever said that their run has ended.
        self.ended: dict[tuple[Kind, str], set[datetime]] = {}
        self.quiet = threading.Event()
        # Servers are stopped and started by one fault at a time.
        self.one_at_a_time = threading.Lock()
        self._numbers = itertools.count(1)
        machine.twilio.store.now = self.clock.now
        self.key = Fernet.generate_key().decode()
        self.redis = FailoverRedis()
        self.database_proxy = LossyProxy(machine.postgres.port)
        if backend == "sqlite":
            path = directory / "catchup.db"
            shutil.copyfile(machine.templates[backend], path)
            direct = pods_url = f"sqlite:///{path}"
        else:
            machine.postgres.create(name, machine.templates[backend])
            direct = machine.postgres.url(name)
            pods_url = machine.postgres.url(name, port=self.database_proxy.port)
        self.database = Database.open(direct)
        self.encryption = Encryption([self.key])
        self.environment = {
            Env.DATABASE_URL: pods_url,
            Env.REDIS_URL: self.redis.url,
            Env.ENCRYPTION_KEYS: self.key,
            Env.GOOGLE_CLIENT_ID: DEFAULT_CLIENT_ID,
            Env.GOOGLE_CLIENT_SECRET: DEFAULT_CLIENT_SECRET,
            Env.GOOGLE_API_ENDPOINT: f"{self.google.url}/calendar/v3/",
            Env.GOOGLE_TOKEN_URI: f"{self.google.url}/token",
            Env.TWILIO_ACCOUNT_SID: ACCOUNT_SID,
            Env.TWILIO_AUTH_TOKEN: AUTH_TOKEN,
            Env.TWILIO_FROM: SENDER,
            Env.TWILIO_API_BASE_URL: machine.twilio.url,
            Env.SMTP_HOST: "localhost",
            Env.SMTP_PORT: str(machine.mail.port),
            Env.SMTP_USERNAME: USERNAME,
            Env.SMTP_PASSWORD: PASSWORD,
            Env.SMTP_FROM: f"CatchUp <{MAIL_SENDER}>",
            Env.SMTP_CA_FILE: str(machine.mail.ca_file),
        }

    def close(self) -> None:
        """End what this story alone has."""
        self.pods.forget()
        self.database.close()
        self.database_proxy.close()
        self.redis.close()

    def tell(self, text: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{self.clock.now():%a %m-%d %H:%M:%S} {text}")

    def number(self) -> int:
        """Return a number that was not given before."""
        return next(self._numbers)

    def clear_faults(self) -> None:
        """Drop the faults that were armed and not met."""
        self.google.control.clear_faults()
        self.twilio.clear_faults()
        self.mail.clear_faults()
        self.redis.proxy.marker = self.database_proxy.marker = None

    def steadily(self, action: Callable[[], T]) -> T:
        """Do something with the database, and again while that is not there."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return action()
            except TemporaryError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    # What users do ----------------------------------------------------------------------------------------------

    def save(self, person: Person, pools: Mapping[str, str | None] | None = None) -> None:
        """Import a user, as the application does; `pools` enrols by user id."""
        entry = read_users(json.dumps(person.document()), now=datetime(2199, 1, 1, tzinfo=UTC)).users[0]
        addresses = DatabaseAddresses(self.database, lambda: self.encryption)
        self.steadily(
            lambda: DatabaseUsers(self.database).import_all(
                [entry.user],
                now=self.clock.now(),
                contacts={person.id: entry.contacts or ()},
                channels={person.id: entry.channels or ()},
                addresses=addresses,
                pools=pools,
            )
        )

    def connect(self, person: Person) -> None:
        """Let a user consent at Google, and keep the token."""
        granted = self.google.control.grant(person.address)
        token = OAuthToken(granted["refresh_token"], granted["token"], self.clock.now() + timedelta(hours=1))
        tokens = DatabaseTokens(self.database, self.encryption)
        self.steadily(lambda: tokens.connect(person.id, token, now=self.clock.now()))
        person.connected = True

    def put_event(self, person: Person, event_id: str, start: datetime, end: datetime, title: str) -> None:
        """Add an event at Google, or move it."""
        person.busy[event_id] = (start, end, title)
        times = {"start": {"dateTime": start.isoformat()}, "end": {"dateTime": end.isoformat()}}
        self.google.control.put_event(person.address, event_id, {"summary": title, **times})

    def delete_event(self, person: Person, event_id: str) -> None:
        """Delete an event at Google."""
        del person.busy[event_id]
        self.google.control.delete_event(person.address, event_id)

    def move(self, person: Person) -> None:
        """Move a user into the pool or out of it, as the operator and Kubernetes do it."""
        now = self.clock.now()
        if person.pooled:
            # CronJobs are made before the list says that the pool has lost the user; they start nothing from before.
            person.pooled, person.made, person.fired = False, now, now
            if person.enrolled is not None:
                # Of a new UserSchedule.
                person.since, person.schedules = now, person.schedules + 1
            self.tell(f"{person.id} leaves the pool")
            return
        person.pooled, person.joined = True, now
        if person.enrolled is not None:
            # The UserSchedule is deleted.
            person.since = person.enrolled
        self.placements.tell(self.people, now)
        self.tell(f"{person.id} comes to the pool")
        # Jobs and pods go with their CronJobs.
        for task in self.running:
            if task.person is person and task.slot is not None:
                task.is_deleted = True
                if task.pod is not None and task.pod.is_alive():
                    self.tell(f"  SIGTERM for {task.pod}, whose CronJob is deleted")
                    self._end(task.pod)

    # What Kubernetes does ----------------------------------------------------------------------------------------

    def task(self, kind: Kind, person: Person | None = None, slot: datetime | None = None) -> Task:
        """Return a Job to run: the fleet's suggestions, or a user's sync or digest."""
        return Task(kind, person.id if person else "0", slot, f"job-{self.number()}", person)

    def ticks(self, kind: Kind, shards: int | None = None) -> list[Task]:
        """Return a Job of the pool to run: a pod for each shard."""
        number = shards or self.placements.shards[kind]
        return [self._tick(kind, (shard, number)) for shard in range(number)]

    def _tick(self, kind: Kind, shard: tuple[int, int]) -> Task:
        slot = floor(self.clock.now(), minutes=1)
        return Task(kind, POOL, slot, f"job-{self.number()}", is_tick=True, shard=shard)

    def twin(self, task: Task) -> Task:
        """Return another Job for the same slot."""
        return self._tick(task.kind, task.shard) if task.is_tick else self.task(task.kind, task.person, task.slot)

    def run_all(self, tasks: list[Task], dice: random.Random, *besides: Callable[[], None]) -> None:
        """Run Jobs side by side, and other things while they run; return when all have ended."""
        self.running, self.quiet = tasks, threading.Event()
        starts = [dice.random() * 0.2 for _ in tasks]

        def run(task: Task, start: float) -> None:
            time.sleep(start)
            self.run(task)

        with ThreadPoolExecutor(len(tasks) + len(besides)) as threads:
            others = [threads.submit(each) for each in besides]
            jobs = [threads.submit(run, task, start) for task, start in zip(tasks, starts, strict=True)]
            try:
                for job in jobs:
                    job.result()
            finally:
                self.quiet.set()
            for other in others:
                other.result()

    def run(self, task: Task) -> None:
        """Run a Job as its controller does: another pod after each that failed, up to the backoff limit."""
        self.tasks.append(task)
        deadline = DEADLINE_SECONDS if task.is_tick else task.kind.deadlines.active
        give_up = time.monotonic() + deadline / self.clock.speed
        limit = 0 if task.is_tick else BACKOFF_LIMIT
        for failures in range(1 + limit):
            if task.is_deleted:
                return
            pod = task.pod = self._start_pod(task)
            in_time = self._await(pod, give_up)
            code, summary = pod.exit_code.result(), pod.summary
            task.pods.append((code, summary))
            told = f"{summary.outcome} {summary.reason or ''}" if summary else "without a word"
            self.tell(f"  {pod} ended {code}: {told}")
            state = None if task.is_tick else self.state_in_the_book(task.key)
            task.opened = task.opened or state is not None
            task.settled = task.settled or state in {RunState.DONE, RunState.SKIPPED}
            if not in_time or code in {ExitCode.DONE, ExitCode.PERMANENT, ExitCode.MISCONFIGURED}:
                return
            if failures < limit:
                time.sleep(_BACKOFF_SECONDS * 2**failures / self.clock.speed)
        self.tell(f"  the Job of {task.key} failed")

    def _start_pod(self, task: Task) -> Pod:
        person = task.person
        cronjob = f"{task.subject}-{task.kind}"
        minutes = f"{int(task.slot.timestamp()) // 60}" if task.slot else "by-hand"
        environment = {
            Env.CRONJOB_NAME: cronjob,
            Env.JOB_NAME: f"{cronjob}-{minutes}",
            Env.JOB_UID: task.uid,
            Env.DEADLINE_SECONDS: str(task.kind.deadlines.active),
            # By hand, in the toolbox, nobody tells of a UserSchedule.
            **(person.environment(self.clock.now()) if person and not (person.pooled and person.enrolled) else {}),
        }
        arguments = [task.kind.name, *(["--user", person.id] if person else [])]
        if task.is_tick:
            now = self.clock.now()
            self.placements.tell(self.people, now)
            folder = self.placements.mounted(now, random.Random(task.uid))  # noqa: S311
            environment |= self.placements.environment(task.kind, folder, now)
            index, shards = task.shard
            environment |= {Env.POOL_SHARDS: str(shards), Env.COMPLETION_INDEX: str(index)}
            arguments = [task.kind.name, "--pool", task.subject]
        return self.command(arguments, environment)

    def command(self, arguments: list[str], environment: dict[str, str] | None = None) -> Pod:
        """Start `catchup-jobs` in a pod."""
        return self.pods.start(arguments, self.environment | (environment or {}), directory=self.directory)

    def _await(self, pod: Pod, give_up: float) -> bool:
        """Wait for a pod; end it at the Job's deadline, as Kubernetes does. Return whether it ended by itself."""
        for number, patience in (
            (None, give_up - time.monotonic()),
            (signal.SIGTERM, _GRACE_SECONDS / self.clock.speed),
        ):
            if number is not None:
                self.tell(f"  {pod} is over its deadline")
                pod.send(number)
            try:
                pod.exit_code.result(max(patience, 0.0))
            except TimeoutError:
                continue
            return number is None
        pod.send(signal.SIGKILL)
        pod.exit_code.result(_PATIENCE_SECONDS)
        return False

    def _end(self, pod: Pod) -> None:
        pod.send(signal.SIGTERM)
        try:
            pod.exit_code.result(_GRACE_SECONDS / self.clock.speed)
        except TimeoutError:
            pod.send(signal.SIGKILL)

    def state_in_the_book(self, key: str) -> RunState | None:
        def look() -> RunState | None:
            with self.database.read() as connection:
                return connection.execute(select(runs.c.state).where(runs.c.run_key == key)).scalar_one_or_none()

        return self.steadily(look)

    def counts_in_the_book(self, key: str) -> dict[str, int]:
        """Return what a run counted."""

        def look() -> dict[str, int]:
            with self.database.read() as connection:
                return connection.execute(select(runs.c.counts).where(runs.c.run_key == key)).scalar_one_or_none() or {}

        return self.steadily(look)

    def is_synced(self, person: Person, *, since: datetime) -> bool:
        """Whether the request by hand of a member of the pool was served, and the latest sync is done."""
        waits = select(pool_slots.c.is_requested).where(pool_slots.c.user_id == person.id, pool_slots.c.kind == SYNC)
        latest = select(runs.c.state).where(runs.c.subject == person.id, runs.c.kind == SYNC)
        latest = latest.where(runs.c.started_at >= since).order_by(runs.c.started_at.desc()).limit(1)

        def look() -> bool:
            with self.database.read() as connection:
                is_done = connection.execute(latest).scalar_one_or_none() is RunState.DONE
                return is_done and not connection.execute(waits).scalar_one()

        return self.steadily(look)

    def look_into_the_book(self) -> None:
        """Note the runs of users that have ended: the book does not keep them for ever."""
        over = (RunState.DONE, RunState.SKIPPED, RunState.FAILED)
        columns = (runs.c.kind, runs.c.subject, runs.c.slot)
        ended = select(*columns).where(runs.c.slot.is_not(None), runs.c.state.in_(over))
        given_up = select(dead_letters.c.kind, dead_letters.c.subject, dead_letters.c.slot)
        given_up = given_up.where(dead_letters.c.slot.is_not(None))

        def look() -> list[Any]:
            with self.database.read() as connection:
                return [*connection.execute(ended), *connection.execute(given_up)]

        for kind, subject, slot in self.steadily(look):
            self.ended.setdefault((kind, subject), set()).add(slot)

    def until(self, holds: Callable[[], Any]) -> bool:
        """Wait until something holds or the Jobs that run now have ended; return whether it does."""
        while not holds():
            if self.quiet.wait(0.01):
                return bool(holds())
        return True

    def some_pod(self, dice: random.Random, job: str | None = None) -> Pod | None:
        """Return a pod that lives, at some moment; None where the Jobs ended before."""
        time.sleep(dice.random() * 0.3)
        return dice.choice(self.pods.alive(job) or [None]) if self.until(lambda: self.pods.alive(job)) else None

    # Time --------------------------------------------------------------------------------------------------------

    def go_to(self, instant: datetime) -> None:
        """Turn the clock forward; locks of pods that died run out first, since Redis's clock cannot be turned."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self.locks():
            assert time.monotonic() < deadline, f"still locked: {self.locks()}"
            time.sleep(0.05)
        if instant > self.clock.now():
            self.clock.turn(instant)

    def locks(self) -> list[str]:
        """Return the locks that are held in Redis."""
        with self.redis.client() as client:
            return list(client.scan_iter("catchup:lock:*"))


def floor(instant: datetime, **step: float) -> datetime:
    """Return the latest multiple of a stretch up to an instant."""
    return instant - (instant - datetime(1970, 1, 1, tzinfo=UTC)) % timedelta(**step)


def says(task: Task, outcome: Outcome, reason: Reason | None = None) -> bool:
    """Whether a Job's last pod ended a run so."""
    return (
        task.complete and task.summary is not None and (task.summary.outcome, task.summary.reason) == (outcome, reason)
    )
