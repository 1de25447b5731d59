"""Servers and databases that integration tests share; each test has a database and a Redis of its own to spoil."""

from __future__ import annotations

import itertools
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from conftest import DATABASES
from integration.services import PostgresServer, RedisServer, postgres_server, redis_server

from catchup_jobs.adapters.database.engine import Database
from catchup_jobs.adapters.database.migrate import upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

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


@contextmanager
def _own_database(server: PostgresServer, template: str = "template1") -> Iterator[str]:
    name = _create_database(server, template)
    yield name
    server.drop(name)


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


@pytest.fixture(params=DATABASES)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without a schema, on each backend in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    with _own_database(server) as name:
        yield server.url(name)


@pytest.fixture(params=DATABASES)
def database_url(
    request: pytest.FixtureRequest, tmp_path: Path, migrated_template: Callable[[str], str]
) -> Iterator[str]:
    """The URL of a migrated, empty database, on each backend in turn."""
    template = migrated_template(request.param)
    if request.param == "sqlite":
        path = tmp_path / "catchup.db"
        shutil.copyfile(template, path)
        yield f"sqlite:///{path}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    with _own_database(server, template) as name:
        yield server.url(name)


@pytest.fixture
def postgresql_url(postgres: PostgresServer, migrated_template: Callable[[str], str]) -> Iterator[str]:
    """The URL of a migrated, empty PostgreSQL database, for what only a server does."""
    with _own_database(postgres, migrated_template("postgresql")) as name:
        yield postgres.url(name)


@pytest.fixture
def empty_postgresql(postgres: PostgresServer) -> Iterator[str]:
    """The name of a PostgreSQL database without a schema."""
    with _own_database(postgres) as name:
        yield name


_compiled: dict[str, tuple[Any, Any]] = {}


def _share_compiled_statements(engine: Any) -> None:
    """Give all engines of a backend one dialect, by which SQLAlchemy remembers the statements that it compiled.

    Otherwise each test compiles its statements anew, which takes a third of its time.
    """
    if engine.name not in _compiled:
        with engine.connect():  # the dialect learns the server's version
            pass
        _compiled[engine.name] = (engine.dialect, engine._compiled_cache)
    engine.dialect, engine._compiled_cache = _compiled[engine.name]
    engine.pool._dialect = engine.dialect


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated, empty database, on each backend in turn."""
    opened = Database.open(database_url)
    _share_compiled_statements(opened.engine)
    yield opened
    opened.close()
