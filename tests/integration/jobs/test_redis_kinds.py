"""Locks, attempts, quotas and progress in Redis as installations have it, and what each refusal is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
import redis
from integration.redis_kinds import SERVICE, Authority, Watched, cluster_node, tls_redis, watched_redis
from integration.services import RedisServer, free_port, redis_server, wait_until

from catchup_jobs.adapters.redis.locks import RedisLocks
from catchup_jobs.adapters.redis.progress import RedisProgress
from catchup_jobs.adapters.redis.quota import RedisQuota
from catchup_jobs.jobs.run.errors import JobError, MisconfiguredError, TemporaryError
from catchup_jobs.jobs.run.ports import HeldBy

NAME = "sync:ada"
RUN = "sync:ada:2026-11-23T08:30:00Z"
SECRET: Final = "s3/c:r@e%t"
# What docs/operations.md says that a user must be granted.
GRANT: Final = ("~catchup:*", "+@read", "+@write", "+@transaction", "+@connection", "+eval", "+time")


def use_all(url: str) -> None:
    """Do everything that jobs do with Redis."""
    with closing(RedisLocks.open(url)) as locks:
        lock = locks.acquire(NAME, RUN)
        assert not isinstance(lock, HeldBy)
        assert isinstance(locks.acquire(NAME, RUN), HeldBy)
        lock.release()
        again = locks.acquire(NAME, RUN)
        assert not isinstance(again, HeldBy)
        again.release()
        assert locks.record_attempt(RUN, "a:1") == 1
        assert locks.attempts(RUN) == 1
    with closing(RedisQuota.open(url, "ada", project=600, user=60, day=10**6)) as quota:
        assert quota.reserve() == 0
    with closing(RedisProgress.open(url)) as board:
        board.show("all", {"state": "running", "users": 1})
        assert board.read() == {"all": {"state": "running", "users": "1"}}


def each_use(url: str) -> list[Callable[[], object]]:
    """Return what jobs do with Redis, one by one."""
    locks, quota = RedisLocks.open(url), RedisQuota.open(url, "ada", project=600, user=60, day=10**6)
    return [
        lambda: locks.acquire(NAME, RUN),
        lambda: locks.attempts(RUN),
        lambda: locks.record_attempt(RUN, "a:1"),
        quota.reserve,
        RedisProgress.open(url).read,
    ]


def refusals(url: str) -> set[tuple[type[JobError], str]]:
    """Return what each of the uses ends in."""
    found = set()
    for use in each_use(url):
        with pytest.raises(JobError) as caught:
            use()
        said = str(caught.value)
        assert "s3" not in said
        assert "\n" not in said
        found.add((caught.type, said))
    RedisProgress.open(url).show("all", {"state": "running"})  # never raises
    return found


def refusal(url: str) -> tuple[type[JobError], str]:
    """Return the one thing that each of the uses ends in."""
    (found,) = refusals(url)
    return found


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def tls(authority: Authority) -> Iterator[RedisServer]:
    with tls_redis(authority) as server:
        yield server


def test_tls_with_a_private_authority_works(tls: RedisServer, authority: Authority) -> None:
    use_all(f"rediss://localhost:{tls.port}/0?ssl_ca_certs={authority.ca}")


@pytest.mark.release
def test_tls_that_cannot_be_agreed_on_is_a_misconfiguration(
    tls: RedisServer, authority: Authority, redis_url: str, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    stranger = Authority.make(other)
    for url in (
        f"rediss://localhost:{tls.port}/0",
        f"rediss://localhost:{tls.port}/0?ssl_ca_certs={stranger.ca}",
        f"rediss://127.0.0.1:{tls.port}/0?ssl_ca_certs={authority.ca}",
        f"rediss://localhost:{tls.port}/0?ssl_ca_certs={stranger.key}",
    ):
        kind, said = refusal(url)
        assert (kind, "TLS with Redis" in said) == (MisconfiguredError, True), url
    # Whoever speaks no TLS where it is wanted, or the reverse, gets no answer at all.
    for url in (f"redis://localhost:{tls.port}/0", redis_url.replace("redis://", "rediss://")):
        kind, said = refusal(url)
        assert (kind, "rediss://" in said) == (TemporaryError, True), url


def test_a_client_certificate_is_shown_where_redis_wants_one(authority: Authority) -> None:
    with tls_redis(authority, client_certificates=True) as server:
        url = f"rediss://localhost:{server.port}/0?ssl_ca_certs={authority.ca}"
        use_all(f"{url}&ssl_certfile={authority.certificate}&ssl_keyfile={authority.key}")
        assert {kind for kind, _ in refusals(url)} <= {MisconfiguredError, TemporaryError}


@pytest.fixture
def acl(redis_url: str) -> Iterator[redis.Redis]:
    """The administrator of a Redis that has ACL users for the time of the test."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as admin:
        yield admin
        admin.acl_deluser("catchup")


def admit(administrator: redis.Redis, password: str, rules: tuple[str, ...]) -> None:
    """Make the user as docs/operations.md says, in Redis's own words for the rules."""
    answer: Any = administrator.execute_command("ACL", "SETUSER", "catchup", "on", f">{password}", *rules)  # type: ignore[no-untyped-call]
    assert answer


def test_an_acl_user_with_the_documented_grant_works(acl: redis.Redis, redis_url: str) -> None:
    admit(acl, SECRET, GRANT)
    use_all(redis_url.replace("redis://", "redis://catchup:s3%2Fc%3Ar%40e%25t@"))


@pytest.mark.parametrize(
    "grant", [(), ("~catchup:*",), ("~other:*", "+@all"), tuple(rule for rule in GRANT if rule != "+time")]
)
def test_an_acl_user_with_less_is_a_misconfiguration(acl: redis.Redis, redis_url: str, grant: tuple[str, ...]) -> None:
    admit(acl, SECRET, grant)
    url = redis_url.replace("redis://", "redis://catchup:s3%2Fc%3Ar%40e%25t@")
    with (
        closing(RedisQuota.open(url, "ada", project=9, user=9, day=10**6)) as quota,
        pytest.raises(MisconfiguredError, match="what the user may do"),
    ):
        quota.reserve()


@pytest.mark.parametrize("user", ["catchup", "nobody", ""])
def test_a_wrong_acl_password_is_a_misconfiguration(acl: redis.Redis, redis_url: str, user: str) -> None:
    admit(acl, "right", GRANT)
    kind, said = refusal(redis_url.replace("redis://", f"redis://{user}:s3cret@"))
    assert (kind, "check user and password" in said) == (MisconfiguredError, True)


def test_a_password_with_signs_that_should_be_escaped_is_taken() -> None:
    with redis_server(password=SECRET) as server:
        use_all(f"redis://:{SECRET.replace('/', '%2F')}@127.0.0.1:{server.port}/0")
        use_all(f"redis://:s3%2Fc:r%40e%25t@127.0.0.1:{server.port}/0")
    with redis_server(password="s3/c:r") as server:
        use_all(f"redis://:s3/c:r@127.0.0.1:{server.port}/0")


def test_a_database_that_redis_does_not_have_is_a_misconfiguration(redis_url: str) -> None:
    kind, said = refusal(redis_url.replace("/0", "/9999"))
    assert (kind, "lacks the database" in said) == (MisconfiguredError, True)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched_redis(tmp_path_factory.mktemp("sentinel"), password="right", sentinel_password="watch") as running:
        yield running


def test_sentinels_lead_to_the_primary(watched: Watched) -> None:
    dead = f"127.0.0.1:{free_port()}"
    use_all(f"redis+sentinel://:right@{dead},{watched.addresses}/{SERVICE}/0?sentinel_password=watch")


@pytest.mark.parametrize(
    ("url", "kind", "told"),
    [
        ("redis+sentinel://:right@{at}/nobody?sentinel_password=watch", MisconfiguredError, "no service of the name"),
        ("redis+sentinel://:right@{at}/{name}?sentinel_password=s3cret", MisconfiguredError, "password"),
        ("redis+sentinel://:right@{at}/{name}", MisconfiguredError, "password"),
        ("redis+sentinel://:s3cret@{at}/{name}?sentinel_password=watch", MisconfiguredError, "password"),
        ("redis+sentinel://:right@{dead}/{name}?sentinel_password=watch", TemporaryError, "no Sentinel names"),
        # A Redis where a Sentinel is expected, and the reverse.
        ("redis+sentinel://:right@{redis}/{name}?sentinel_password=right", MisconfiguredError, "command"),
        ("redis://:watch@{at}/0", MisconfiguredError, "command"),
    ],
)
def test_what_sentinels_refuse_is_told(watched: Watched, url: str, kind: type[JobError], told: str) -> None:
    at = {"at": watched.addresses, "redis": f"127.0.0.1:{watched.primary.port}", "dead": f"127.0.0.1:{free_port()}"}
    if not url.startswith("redis+"):
        at["at"] = at["at"].partition(",")[0]
    found = refusals(url.format(name=SERVICE, **at))
    assert {(error, told in said) for error, said in found} == {(kind, True)}, found


@pytest.mark.release
def test_a_failover_is_followed(tmp_path: Path) -> None:
    with watched_redis(tmp_path, password="right", sentinel_password="watch", sentinels=1) as watched:
        url = f"redis+sentinel://:right@{watched.addresses}/{SERVICE}?sentinel_password=watch"
        with closing(RedisLocks.open(url)) as locks:
            assert locks.record_attempt(RUN, "a:1") == 1
            sentinel = redis.Redis(port=watched.sentinels[0], password="watch", decode_responses=True)
            wait_until(lambda: _agrees_to_failover(sentinel), "the Sentinel knows that the replica is fit", seconds=60)
            now = redis.Redis(port=watched.replica.port, password="right", decode_responses=True)
            wait_until(lambda: now.info("replication")["role"] == "master", "the replica is primary", seconds=60)
            before = redis.Redis(port=watched.primary.port, password="right", decode_responses=True)
            wait_until(lambda: before.info("replication")["role"] == "slave", "the primary is replica", seconds=60)

            def booked() -> bool:
                try:
                    return locks.record_attempt(RUN, "a:2") >= 1
                except TemporaryError:
                    return False

            wait_until(booked, "the attempt is booked at the new primary", seconds=60)
            assert "a:2" in now.smembers(f"catchup:attempts:{RUN}")


def _agrees_to_failover(sentinel: redis.Redis) -> bool:
    try:
        return bool(sentinel.sentinel_failover(SERVICE))
    except redis.ResponseError as error:
        if "NOGOODSLAVE" not in str(error):
            raise
        return False


@pytest.mark.parametrize("slots", ["0 16383", "0 8000", "8001 16383"])
def test_cluster_mode_is_a_misconfiguration_that_says_so(tmp_path: Path, slots: str) -> None:
    with cluster_node(tmp_path, slots=slots) as server:
        met = set()
        for use in each_use(server.url):
            try:
                use()
            except MisconfiguredError as error:
                met.add(str(error))
        assert met
        assert all("cluster mode" in said for said in met), met


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://:s3cret@cache:port/0", "told apart"),
        ("redis://:s3cret@cache/zero", "must be a number"),
        ("redis://:s3cret@a..b/0", "told apart"),
        ("redis://:s3cret@h1:6379,h2:6379/0", "redis+sentinel://"),
        ("redis+sentinel://:s3cret@h1,h2", "service"),
        ("redis://:s3cret@cache/0?ssl_ca_certs=/etc/ca.pem", "rediss://"),
        ("rediss://:s3cret@cache/0?ssl_ca_certs=/none.pem", "no file"),
        ("rediss://:s3cret@cache/0?ssl_cert_reqs=maybe", "none, optional, required"),
        ("redis://:s3cret@cache/0?socket_timeout=1", "after `?`"),
        ("redis://:s3cret@cache/0?decode_responses=no", "after `?`"),
        ("http://:s3cret@cache", "must begin with"),
        ("s3cret", "scheme"),
    ],
)
def test_a_url_that_cannot_be_used_is_told_at_once_without_the_password(url: str, told: str) -> None:
    with pytest.raises(MisconfiguredError) as caught:
        RedisLocks.open(url)
    said = str(caught.value)
    assert told in said
    assert "s3cret" not in said
