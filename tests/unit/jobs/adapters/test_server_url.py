"""URLs of servers are read as libpq and redis-py read them, and with any password, or refused without repeating it."""

from __future__ import annotations

from urllib.parse import quote

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from redis.connection import parse_url as redis_parse_url

from catchup_jobs.adapters.database.url import parse_url
from catchup_jobs.adapters.server_url import ServerUrl
from catchup_jobs.jobs.run.errors import MisconfiguredError


def _as_libpq(url: str) -> dict[str, str]:
    """Return our reading in libpq's words."""
    found = parse_url(url)
    own = {
        "user": found.username,
        "password": found.password,
        "host": found.host,
        "port": found.port,
        "dbname": found.database,
    }
    return {name: str(value) for name, value in (own | dict(found.query)).items() if value is not None}


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:s3cret@db.example.com:5433/catchup",
        "postgres://ada@db/catchup?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql://db/catchup",
        "postgresql:///catchup?host=/var/run/postgresql",
        "postgresql://ada:%2F%40%3A%25@%2Fvar%2Frun/catchup",
        "postgresql://ada:pw@h1:5432,h2:5433/catchup?target_session_attrs=read-write",
        "postgresql://ada:pw@h1,h2:5433/catchup",
        "postgresql://ada:pw@[::1]:5432/catchup",
        "postgresql://ada:a+b:c@db/cat%20chup?application_name=a+b",
        "postgresql://ada:@db",
        "postgresql://%D0%B6:%C3%A4@db/x?options=-csearch_path%3Dcatchup",
    ],
)
def test_what_libpq_takes_is_read_as_libpq_reads_it(url: str) -> None:
    expected = {name: str(value) for name, value in conninfo_to_dict(url).items() if value not in {None, ""}}
    assert {name: value for name, value in _as_libpq(url).items() if value} == expected


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3cret@cache:6380/2",
        "rediss://ada:s3cret@cache/0?ssl_ca_certs=/etc/ca.pem",
        "redis://ada:%2F%40%3A%25@cache:6379/0",
    ],
)
def test_what_redis_takes_is_read_as_redis_py_reads_it(url: str) -> None:
    found, expected = ServerUrl.parse(url), redis_parse_url(url)  # type: ignore[no-untyped-call]
    ((host, port),) = found.hosts
    own = {"host": host, "port": port, "username": found.username, "password": found.password, "db": int(found.path)}
    own |= found.query
    expected.pop("connection_class", None)
    assert {name: value for name, value in own.items() if value is not None} == expected


@pytest.mark.parametrize("password", ["p@ss", "p:ss", "p/ss", "p?ss", "p#ss", "100%", "a@b@c", "[x]", "a,b", "p ss"])
def test_a_password_with_signs_that_should_be_escaped_is_taken_whole(password: str) -> None:
    assert ServerUrl.parse(f"redis://ada:{password}@cache:6379/0").password == password
    assert _as_libpq(f"postgresql://ada:{password}@db:5432/x") == conninfo_to_dict(
        f"postgresql://ada:{quote(password, safe='')}@db:5432/x"
    )


@given(st.text("ab01@:/?#=&,[]+ ;\\'\"\u00e4", max_size=12))
@example("1/x")
@example("1?sslmode=x")
@example("a/b@c")
@example("1#x")
def test_a_raw_password_is_read_right_or_not_at_all_and_is_never_repeated(password: str) -> None:
    url = f"postgresql://ada:{password}@db:5432/x"
    try:
        found = _as_libpq(url)
    except MisconfiguredError as error:
        said = str(error).replace("postgresql://user:password@host:5432/name", "").replace("`@:/?#%`", "")
        assert len(password) < 4 or password not in said
    else:
        expected = {"user": "ada", "password": password, "host": "db", "port": "5432", "dbname": "x"}
        assert {"password": "", **found} == expected


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://u:s3cret@db/x?pgbouncer=true&schema=public", "pgbouncer, schema"),
        ("postgresql://u:s3cret@db/x?connection_limit=1", "connection_limit"),
        ("postgresql://u:s3cret@db/x?prepare_threshold=5", "prepare_threshold"),
        ("postgresql://u:s3cret@db/x?sslmode", "name=value"),
        ("postgresql://u:s3cret@db:port/x", "cannot be told apart"),
        ("postgresql://u:s3cret@db:99999/x", "cannot be told apart"),
        ("postgresql://u:s3cret@db/x\nCATCHUP=1", "control characters"),
        ("postgresql://u:s3cret%00@db/x", "control characters"),
        ("postgresql://u:s3cret%FF@db/x", "UTF-8"),
        ("postgresql:u:s3cret@db/x", "`://`"),
        ("mysql://u:s3cret@db/x", "postgresql:// or sqlite:///"),
        ("host=db user=u password=s3cret", "postgresql:// or sqlite:///"),
        ("sqlite://u:s3cret@db/x", "must name a file"),
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        ("sqlite:////data/x.db?timeout=s3cret", "no parameters"),
        ("sqlite:////data/x.db?uri=true&check_same_thread=s3cret", "no parameters"),
    ],
)
def test_a_url_that_cannot_be_used_is_told_in_one_line_without_the_password(url: str, told: str) -> None:
    with pytest.raises(MisconfiguredError) as caught:
        parse_url(url)
    said = str(caught.value)
    assert told in said
    assert "s3cret" not in said
    assert "\n" not in said


def test_every_parameter_that_libpq_knows_is_admitted_but_replication() -> None:
    for option in psycopg.pq.Conninfo.get_defaults():
        name = option.keyword.decode()
        if name == "replication":
            with pytest.raises(MisconfiguredError, match="replication"):
                parse_url("postgresql://db/x?replication=1")
            continue
        assert parse_url(f"postgresql://db/x?{name}=1").query[name] == "1"
