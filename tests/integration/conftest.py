"""Servers and databases that integration tests share; each test has a database and a Redis of its own to spoil."""

from __future__ import annotations

import itertools
import shutil
from typing import TYPE_CHECKING

import pytest
from integration.services import PostgresServer, RedisServer, postgres_server, redis_server

from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.migrate import upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BACKENDS = ("sqlite", "postgresql")
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for the whole session."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def redis_of_session() -> Iterator[RedisServer]:
    """A Redis server for the whole session; tests use `redis_url`, or a server of their own if they stop it."""
    with redis_server() as server:
        yield server


@pytest.fixture
def redis_url(redis_of_session: RedisServer) -> str:
    """The URL of an empty Redis."""
    import redis  # noqa: PLC0415

    with redis.Redis.from_url(redis_of_session.url) as client:
        client.flushall()
    return redis_of_session.url


def _create_database(server: PostgresServer, template: str = "template1") -> str:
    name = f"t{next(_numbers)}"
    server.create(name, template)
    return name


@pytest.fixture(scope="session")
def migrated_template(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Return, per backend, the name of a migrated database (a file for SQLite) to copy; made once a session."""
    made: dict[str, str] = {}

    def template(backend: str) -> str:
        if backend not in made:
            if backend == "sqlite":
                path = tmp_path_factory.mktemp("template") / "catchup.db"
                upgrade(f"sqlite:///{path}")
                made[backend] = str(path)
            else:
                server: PostgresServer = request.getfixturevalue("postgres")
                made[backend] = _create_database(server)
                upgrade(server.url(made[backend]))
        return made[backend]

    return template


@pytest.fixture(params=BACKENDS)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without a schema, on each backend in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.url(_create_database(server))


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path, migrated_template: Callable[[str], str]) -> str:
    """The URL of a migrated, empty database, on each backend in turn."""
    template = migrated_template(request.param)
    if request.param == "sqlite":
        path = tmp_path / "catchup.db"
        shutil.copyfile(template, path)
        return f"sqlite:///{path}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.url(_create_database(server, template))


@pytest.fixture
def postgresql_url(postgres: PostgresServer, migrated_template: Callable[[str], str]) -> str:
    """The URL of a migrated, empty PostgreSQL database, for what only a server does."""
    return postgres.url(_create_database(postgres, migrated_template("postgresql")))


@pytest.fixture
def empty_postgresql(postgres: PostgresServer) -> str:
    """The name of a PostgreSQL database without a schema."""
    return _create_database(postgres)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated, empty database, on each backend in turn."""
    opened = Database.open(database_url)
    yield opened
    opened.close()
