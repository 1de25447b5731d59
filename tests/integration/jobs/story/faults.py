"""What goes wrong in a story: each fault is done for real, and says whether it hit anything.

A fault runs beside the Jobs of a round. One that hit nothing (the pod had ended, no message was sent) is played again
in a later round, until it has.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import create_engine, func, select
from sqlalchemy.pool import NullPool

from catchup_contract.kinds import BACKOFF_LIMIT
from catchup_contract.outcomes import ExitCode, Reason
from catchup_contract.summary import Count
from catchup_jobs.adapters.database.schema import runs

if TYPE_CHECKING:
    from integration.jobs.story.world import World

Fault = Callable[["World", random.Random], bool]
BOTH: Final = ("postgresql", "sqlite")
# By name, with the databases with which it can be played.
FAULTS: Final[dict[str, tuple[Fault, tuple[str, ...]]]] = {}
_ENDING_SECONDS: Final = 30.0


def fault(*backends: str) -> Callable[[Fault], Fault]:
    """Put a fault in the deck."""

    def register(function: Fault) -> Fault:
        FAULTS[function.__name__.replace("_", " ")] = (function, backends or BOTH)
        return function

    return register


# Pods ---------------------------------------------------------------------------------------------------------------


@fault()
def a_pod_is_killed(world: World, dice: random.Random) -> bool:
    pod = world.some_pod(dice)
    if pod is None:
        return False
    world.tell(f"  SIGKILL for {pod}")
    pod.send(signal.SIGKILL)
    return pod.exit_code.result(_ENDING_SECONDS) == -signal.SIGKILL


@fault()
def every_pod_of_a_job_is_killed(world: World, dice: random.Random) -> bool:
    # A tick has no second pod: the next one serves whom it left.
    task = dice.choice([task for task in world.running if not task.is_tick])
    while len(task.pods) <= BACKOFF_LIMIT:
        alive = world.until(lambda: task.pod is not None and task.pod.is_alive())
        if not alive or task.complete or task.is_deleted or task.pod is None:
            return False
        if not task.pods:
            # A Job whose pods never came so far as to begin the run would show nothing.
            world.until(lambda: world.state_in_the_book(task.key) is not None)
        time.sleep(dice.random() * 0.25)
        world.tell(f"  SIGKILL for {task.pod}")
        task.pod.send(signal.SIGKILL)
        killed = len(task.pods) + 1
        world.until(lambda killed=killed: len(task.pods) >= killed)  # type: ignore[misc]
    return task.opened and all(code == -signal.SIGKILL for code, _ in task.pods)


@fault()
def a_pod_is_terminated(world: World, dice: random.Random) -> bool:
    pod = world.some_pod(dice)
    if pod is None:
        return False
    world.tell(f"  SIGTERM for {pod}")
    pod.send(signal.SIGTERM)
    code = pod.exit_code.result(_ENDING_SECONDS)
    if pod.serves_a_pool:
        # What was begun is put back.
        return code == ExitCode.DONE and pod.summary is not None and pod.summary.counts.get(Count.USERS_DEFERRED, 0) > 0
    return code == ExitCode.TEMPORARY and (pod.summary is None or pod.summary.reason is Reason.TERMINATED)


@fault()
def a_pod_sleeps_past_its_lock(world: World, dice: random.Random) -> bool:
    pod = world.some_pod(dice)
    if pod is None:
        return False
    world.tell(f"  SIGSTOP for {pod}")
    pod.send(signal.SIGSTOP)
    time.sleep(1.4)
    slept = pod.is_alive()
    pod.send(signal.SIGCONT)
    return slept


@fault()
def a_slot_is_run_twice_at_once(world: World, dice: random.Random) -> bool:
    served = [task for task in world.running if task.slot is not None]
    if not served:
        return False
    original = dice.choice(served)
    twin = world.twin(original)
    if not world.until(lambda: any(pod.arguments[0] == original.kind.name for pod in world.pods.alive())):
        return False
    overlaps = not original.pods
    world.run(twin)
    return overlaps


def _killed_while_asking(world: World, job: str, arm: Callable[[], Callable[[], bool]]) -> bool:
    if not world.until(arm()):
        return False
    pods = world.pods.alive(job)
    for pod in pods:
        world.tell(f"  SIGKILL for {pod}, which asks a provider")
        pod.send(signal.SIGKILL)
    return any(pod.exit_code.result(_ENDING_SECONDS) == -signal.SIGKILL for pod in pods)


@fault()
def a_pod_is_killed_while_it_sends_an_sms(world: World, dice: random.Random) -> bool:
    return _killed_while_asking(world, "digest", lambda: _twilio(world, kind="create", delay=0.25))


@fault()
def a_pod_is_killed_while_it_sends_an_email(world: World, dice: random.Random) -> bool:
    return _killed_while_asking(world, "digest", lambda: _mail(world, stage="message", delay=0.25))


@fault()
def a_pod_is_killed_while_it_reads_a_calendar(world: World, dice: random.Random) -> bool:
    return _killed_while_asking(world, "sync", lambda: _google(world, kind="events", delay=0.25))


# Redis --------------------------------------------------------------------------------------------------------------


@fault()
def redis_is_emptied(world: World, dice: random.Random) -> bool:
    if world.some_pod(dice) is None:
        return False
    with world.one_at_a_time, world.redis.client() as client:
        lost = client.dbsize()
        client.flushall()
    world.tell(f"  FLUSHALL of {lost} keys")
    return bool(lost)


@fault()
def redis_is_restarted(world: World, dice: random.Random) -> bool:
    if world.some_pod(dice) is None:
        return False
    with world.one_at_a_time:
        world.tell("  Redis goes down")
        world.redis.serving.stop()
        time.sleep(dice.random() * 0.6)
        world.redis.serving.start()
        world.tell("  Redis is back, empty")
    return True


@fault()
def redis_fails_over_and_loses_keys(world: World, dice: random.Random) -> bool:
    time.sleep(dice.random() * 0.3)
    with world.one_at_a_time:
        world.redis.part()
        world.until(lambda: world.redis.keys() - world.redis.keys(world.redis.spare))
        held = world.redis.keys()
        world.redis.fail_over()
        lost = held - world.redis.keys()
    world.tell(f"  Redis failed over, without {len(lost)} keys")
    return bool(lost)


@fault()
def a_reply_of_redis_is_lost(world: World, dice: random.Random) -> bool:
    lost = world.redis.proxy.lost
    world.redis.proxy.marker = dice.choice([b"catchup:lock", b"catchup:quota", b"catchup:attempts"])
    return world.until(lambda: world.redis.proxy.lost > lost)


# The database -------------------------------------------------------------------------------------------------------


@fault("postgresql")
def the_database_crashes(world: World, dice: random.Random) -> bool:
    return _restarted(world, dice, signal.SIGQUIT)


@fault("postgresql")
def the_database_is_restarted(world: World, dice: random.Random) -> bool:
    return _restarted(world, dice, signal.SIGINT)


def _restarted(world: World, dice: random.Random, how: signal.Signals) -> bool:
    if world.some_pod(dice) is None:
        return False
    with world.one_at_a_time:
        world.tell(f"  {how.name} for the database")
        world.machine.postgres.stop(how=how)
        time.sleep(dice.random() * 0.3)
        world.machine.postgres.start()
        world.tell("  the database is back")
    return True


@fault("postgresql")
def the_databases_connections_are_cut(world: World, dice: random.Random) -> bool:
    if world.some_pod(dice) is None:
        return False
    cut = world.database_proxy.cut()
    world.tell(f"  {cut} connections to the database cut")
    return bool(cut)


@fault("postgresql")
def the_reply_to_a_commit_is_lost(world: World, dice: random.Random) -> bool:
    time.sleep(dice.random() * 0.4)
    lost = world.database_proxy.lost
    world.database_proxy.marker = b"COMMIT"
    return world.until(lambda: world.database_proxy.lost > lost)


@fault("sqlite")
def the_database_is_locked(world: World, dice: random.Random) -> bool:
    if world.some_pod(dice) is None:
        return False
    engine = create_engine(world.database.engine.url, poolclass=NullPool, connect_args={"isolation_level": None})
    with closing(engine.raw_connection()) as connection:
        connection.cursor().execute("PRAGMA busy_timeout = 5000")
        connection.cursor().execute("BEGIN IMMEDIATE")
        world.tell("  the database is locked")
        time.sleep(0.6)
        connection.cursor().execute("ROLLBACK")
    return any("SQLITE_BUSY" in log.read_text() for log in world.directory.glob("pod-*.log"))


# Google -------------------------------------------------------------------------------------------------------------


def _google(world: World, **fields: Any) -> Callable[[], bool]:
    with world.google.store.lock:
        number = world.google.control.add_fault(**fields)
    return lambda: _fired(world.google.control.faults(), number)


def _fired(faults: list[dict[str, Any]], number: int) -> bool:
    return any(each["fired"] for each in faults if each["id"] == number)


@fault()
def google_fails(world: World, dice: random.Random) -> bool:
    kind = dice.choice(["events", "events", "calendarList", "token"])
    return world.until(_google(world, kind=kind, status=dice.choice([500, 503]), times=dice.randint(1, 6)))


@fault()
def google_has_too_many_requests(world: World, dice: random.Random) -> bool:
    return world.until(
        _google(world, kind="events", status=dice.choice([403, 429]), retry_after="30", times=dice.randint(1, 4))
    )


@fault()
def google_drops_connections(world: World, dice: random.Random) -> bool:
    return world.until(_google(world, kind="events", drop=True, times=dice.randint(2, 6)))


@fault()
def google_hangs(world: World, dice: random.Random) -> bool:
    return world.until(_google(world, kind=dice.choice(["events", "token"]), delay=0.7, times=dice.randint(1, 3)))


@fault()
def googles_answer_is_cut(world: World, dice: random.Random) -> bool:
    return world.until(_google(world, kind=dice.choice(["events", "events", "calendarList"]), truncate=True))


@fault()
def sync_tokens_are_good_no_more(world: World, dice: random.Random) -> bool:
    for person in world.people:
        world.google.control.invalidate_sync_tokens(person.address)
    return world.until(lambda: any(entry["status"] == 410 for entry in list(world.google.log)))


@fault()
def an_access_token_is_refused(world: World, dice: random.Random) -> bool:
    # The list is read once a day.
    kind = dice.choice(["events", "events", "calendarList"])
    return world.until(_google(world, kind=kind, status=401, reason="authError"))


@fault()
def a_user_withdraws_the_consent(world: World, dice: random.Random) -> bool:
    person = dice.choice(world.people)
    with world.google.store.lock:
        world.google.control.expire_access_tokens(person.address)
        world.google.control.revoke(person.address)
    person.connected = False
    world.tell(f"  {person.id} withdraws the consent")

    is_told = (runs.c.subject == person.id, runs.c.reason == Reason.RECONNECT, runs.c.finished_at > world.clock.now())
    told = select(func.count()).select_from(runs).where(*is_told)

    def noticed() -> bool:
        summaries = [summary for task in world.running if task.person is person for _, summary in task.pods]
        return any(summary and summary.reason is Reason.RECONNECT for summary in summaries) or world.steadily(in_book)

    def in_book() -> bool:
        with world.database.read() as connection:
            return connection.execute(told).scalar_one() > 0

    return world.until(noticed)


# Messages -----------------------------------------------------------------------------------------------------------


def _twilio(world: World, **fields: Any) -> Callable[[], bool]:
    with world.machine.twilio.lock:
        number = world.twilio.add_fault(**fields)
    return lambda: _fired(world.twilio.faults(), number)


def _mail(world: World, **fields: Any) -> Callable[[], bool]:
    number = world.mail.add_fault(**fields)
    return lambda: _fired(world.mail.faults(), number)


@fault()
def twilio_drops_the_request(world: World, dice: random.Random) -> bool:
    return world.until(_twilio(world, kind="create", drop=True))


@fault()
def twilio_accepts_and_drops_the_answer(world: World, dice: random.Random) -> bool:
    return world.until(_twilio(world, kind="create", accept_then_drop=True))


@fault()
def twilio_accepts_drops_the_answer_and_cannot_list(world: World, dice: random.Random) -> bool:
    cannot_list = _twilio(world, kind="list", status=503, times=2)
    return world.until(_twilio(world, kind="create", accept_then_drop=True)) and world.until(cannot_list)


@fault()
def twilio_fails(world: World, dice: random.Random) -> bool:
    return world.until(_twilio(world, kind="create", status=500))


@fault()
def twilio_has_too_many_requests(world: World, dice: random.Random) -> bool:
    return world.until(
        _twilio(world, kind="create", status=429, code=20429, retry_after="20", times=dice.randint(1, 3))
    )


@fault()
def twilio_hangs_and_takes_the_message_later(world: World, dice: random.Random) -> bool:
    return world.until(_twilio(world, kind="create", delay=0.7))


@fault()
def a_user_replies_stop(world: World, dice: random.Random) -> bool:
    person = dice.choice([person for person in world.people if not person.stopped] or world.people)
    world.twilio.stop(person.phone)
    person.stopped = True
    world.tell(f"  {person.id} replies STOP")
    refused = sum(entry["status"] == 400 for entry in list(world.machine.twilio.log))
    return world.until(lambda: sum(entry["status"] == 400 for entry in list(world.machine.twilio.log)) > refused)


@fault()
def the_mail_server_takes_no_mail(world: World, dice: random.Random) -> bool:
    return world.until(_mail(world, stage=dice.choice(["ehlo", "mail", "rcpt", "data"]), reply="451 later", times=2))


@fault()
def the_mail_server_drops_the_message(world: World, dice: random.Random) -> bool:
    return world.until(_mail(world, stage=dice.choice(["data", "message"]), drop=True))


@fault()
def the_mail_server_accepts_and_drops_the_answer(world: World, dice: random.Random) -> bool:
    return world.until(_mail(world, stage="message", accept_then_drop=True, times=dice.randint(1, 2)))


@fault()
def the_mail_server_hangs(world: World, dice: random.Random) -> bool:
    return world.until(_mail(world, stage=dice.choice(["ehlo", "message"]), delay=0.7))


def hand(seed: int, size: int) -> list[str]:
    """Return the faults of a seed, in the order in which they are played.

    Four seeds that follow each other, the first a multiple of four, have all of the deck between them, each fault at
    least once; even seeds play with PostgreSQL, odd ones with SQLite.
    """
    group, place = divmod(seed, 4)
    dice = random.Random(f"deck {group}")  # noqa: S311 - to be played again
    deck = list(FAULTS)
    dice.shuffle(deck)
    hands: list[list[str]] = [[], [], [], []]
    for name in sorted(deck, key=lambda name: len(FAULTS[name][1])):
        fitting = [other for other in range(4) if backend_of(other) in FAULTS[name][1]]
        hands[min(fitting, key=lambda other: len(hands[other]))].append(name)
    more = [name for name in deck if backend_of(seed) in FAULTS[name][1] and name not in hands[place]]
    return hands[place] + more[: max(0, size - len(hands[place]))]


def backend_of(seed: int) -> str:
    """Return the database of a seed."""
    return BOTH[seed % 2]
