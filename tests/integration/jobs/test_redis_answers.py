"""Whatever answers in Redis's place, or in its bad hours, ends a job with an error of a job, and a digest goes on."""

from __future__ import annotations

import json
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis
from cryptography.fernet import Fernet
from integration.jobs import nursery
from integration.jobs.test_redis_kinds import NAME, RUN, each_use, refusals
from integration.services import redis_server, wait_until

from catchup_contract.outcomes import ExitCode
from catchup_jobs.adapters.redis.locks import RedisLocks
from catchup_jobs.adapters.redis.progress import RedisProgress
from catchup_jobs.jobs.run.errors import JobError, MisconfiguredError, TemporaryError
from catchup_jobs.jobs.run.ports import HeldBy

_COMMAND = re.compile(rb"\*\d+\r\n\$")

# By the protocol (https://redis.io/docs/latest/develop/reference/protocol-spec/): none is an answer to what jobs ask.
ANSWERS = {
    "another protocol": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "OK to everything": b"+OK\r\n",
    "a word": b"hello\r\n",
    "an empty line": b"\r\n",
    "no UTF-8": b"$4\r\n\xff\xfe\xfd\xfc\r\n",
    "no number": b":abc\r\n",
    "a number of 5,000 digits": b":" + b"9" * 5000 + b"\r\n",
    "a length that is none": b"$abc\r\n",
    "an array in 5,000 others": b"*1\r\n" * 5000 + b":1\r\n",
    "nothing": b"$-1\r\n",
    "a number": b":5\r\n",
    "another program's value": b"$8\r\nnot ours\r\n",
    "an array": b"*3\r\n:1\r\n:2\r\n:3\r\n",
    "RESP3": b"%1\r\n+a\r\n:1\r\n",
    "an error without words": b"-\r\n",
}


@contextmanager
def answering(answer: bytes, port: int = 0) -> Iterator[str]:
    """Run a server that gives every command one answer, on a free port or one that another has left; yield its URL."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        threading.Thread(target=_serve, args=(listening, answer), daemon=True).start()
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"
        listening.shutdown(socket.SHUT_RDWR)


def _serve(listening: socket.socket, answer: bytes) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_answer, args=(connection, answer), daemon=True).start()


def _answer(connection: socket.socket, answer: bytes) -> None:
    with connection, suppress(OSError):
        while asked := connection.recv(65536):
            connection.sendall(answer * len(_COMMAND.findall(asked)))


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_of_another_form_is_taken_or_is_an_error_of_a_job(answer: bytes) -> None:
    with answering(answer) as url:
        for use in each_use(url):
            with suppress(JobError):
                use()
        RedisProgress.open(url).show("all", {"state": "running"})  # never raises


@pytest.mark.parametrize("answer", ["no UTF-8", "no number", "an array in 5,000 others"])
def test_a_lock_is_lost_and_released_in_silence_where_no_redis_answers(answer: str) -> None:
    # pytest fails on what a thread raises.
    with redis_server() as server:
        locks = RedisLocks.open(server.url, lock_seconds=1)
        lock = locks.acquire(NAME, RUN)
        assert not isinstance(lock, HeldBy)
        server.stop()
        with answering(ANSWERS[answer], server.port):
            wait_until(lambda: not lock.is_held(), "the lock is lost")
            lock.release()
        locks.close()


@pytest.mark.parametrize("answer", ["no UTF-8", "OK to everything", "an array in 5,000 others"])
@pytest.mark.parametrize(
    ("command", "code"),
    [(("digest", "--user", "zoe"), ExitCode.DONE), (("suggestions", "--user", "zoe"), ExitCode.TEMPORARY)],
)
def test_a_digest_goes_on_where_no_redis_answers_and_other_jobs_try_again(
    postgresql_url: str, tmp_path: Path, answer: str, command: tuple[str, ...], code: ExitCode
) -> None:
    file = tmp_path / "people.json"
    file.write_text(json.dumps({"id": "zoe", "name": "Zoë"}), encoding="utf-8")
    with answering(ANSWERS[answer]) as url:
        environment = {
            "CATCHUP_DATABASE_URL": postgresql_url,
            "CATCHUP_REDIS_URL": url,
            "CATCHUP_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        }
        assert nursery.run(("user", "import", str(file)), environment)[0] == ExitCode.DONE
        found, _, said = nursery.run(command, environment)
    assert found == code, said
    assert "Redis" in said


def _refuses_to_write(client: redis.Redis) -> bool:
    try:
        client.set("x", "x")
    except redis.ResponseError as error:
        return str(error).startswith("MISCONF")
    return False


def test_a_redis_that_cannot_save_says_so(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    with redis_server("", "--save", "1 1", "--dir", str(directory)) as server, redis.Redis(port=server.port) as client:
        shutil.rmtree(directory)
        wait_until(lambda: _refuses_to_write(client), "Redis refuses to write")
        met = refusals_of_writers(server.url)
    assert met == {(TemporaryError, "Redis cannot serve now (MISCONF): see its log")}


def test_a_redis_without_its_replicas_says_so() -> None:
    with redis_server("", "--min-replicas-to-write", "1") as server:
        assert refusals_of_writers(server.url) == {(TemporaryError, "Redis cannot serve now (NOREPLICAS): see its log")}


def refusals_of_writers(url: str) -> set[tuple[type[JobError], str]]:
    """Return what each use that writes ends in."""
    writers: list[Callable[[], object]] = [each_use(url)[number] for number in (0, 2)]
    found = set()
    for use in writers:
        with pytest.raises(JobError) as caught:
            use()
        found.add((caught.type, str(caught.value)))
    return found


@pytest.mark.parametrize(
    ("said", "meant", "told"),
    [
        # The words of Redis 7.0.15.
        ("LOADING Redis is loading the dataset in memory", TemporaryError, "cannot serve now (BusyLoadingError)"),
        ("ERR max number of clients reached", TemporaryError, "no connection free"),
        ("BUSY Redis is busy running a script. You can only call SCRIPT KILL", TemporaryError, "(BUSY)"),
        (
            "DENIED Redis is running in protected mode because protected mode is enabled and no password is set",
            MisconfiguredError,
            "protected mode",
        ),
    ],
)
def test_what_redis_says_of_itself_is_told(said: str, meant: type[JobError], told: str) -> None:
    with answering(b"-" + said.encode() + b"\r\n") as url:
        for kind, message in refusals(url):
            assert (kind, told in message) == (meant, True), message
