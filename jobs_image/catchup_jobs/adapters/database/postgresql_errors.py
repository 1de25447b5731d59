"""What PostgreSQL, libpq and PgBouncer refuse, and what it means for a run."""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError

from catchup_jobs.adapters.database.hints import MIGRATE_HINT, TAKEN
from catchup_jobs.jobs.run.errors import JobError, MisconfiguredError, PermanentError, TemporaryError

_SCHEMA: Final = (
    f"a table or column that this version needs is missing ({{state}}): {MIGRATE_HINT}, or if `catchup-jobs db status`"
    " says `current`, see the role's search_path and its USAGE on the schema"
)
_PRIVILEGES: Final = (
    "PostgreSQL refused access (SQLSTATE {state}): grant the role CONNECT on the database, USAGE on a schema of its"
    " search_path, and what it needs there: for `db migrate` CREATE, for jobs all on tables and sequences"
)
_STANDBY: Final = (
    "PostgreSQL takes no writes now{state}: it is a standby, or its transactions are read-only by default; check that"
    " CATCHUP_DATABASE_URL leads to the primary"
)
_NONE_FREE: Final = (
    "PostgreSQL has no connection free, or PgBouncer: run fewer pods at once, or raise max_connections, the role's or"
    " the database's CONNECTION LIMIT, or the pooler's limits"
)
_VALUE: Final = (
    "a parameter has a value that is not allowed (`sslmode`, for example, is disable, allow, prefer, require, verify-ca"
    " or verify-full)"
)
_SILENT: Final = (
    "no connection in time: CATCHUP_DATABASE_URL's host does not answer, or it is a PgBouncer that waits for PostgreSQL"
    " (`PAUSE`, or PostgreSQL is down)"
)
_REFUSED: Final = "the connection to PostgreSQL is refused: {advice} (CATCHUP_DATABASE_URL)"
_STRANGE: Final = (
    "PostgreSQL does not carry out a statement of catchup-jobs (SQLSTATE {state}): a trigger, rule or extension of"
    " somebody else may be why, or a server that is not PostgreSQL; see its log"
)


class DeadlockError(TemporaryError):
    """PostgreSQL has ended the transaction, since another one waited for its locks and it for that one's."""


# SQLSTATE classes and codes, https://www.postgresql.org/docs/current/errcodes-appendix.html; the first that fits counts
_STATES: Final[tuple[tuple[tuple[str, ...], type[JobError], str], ...]] = (
    (("42P01", "42703"), TemporaryError, _SCHEMA),
    (("42P07", "42710", "42723"), MisconfiguredError, TAKEN.format(names=" (SQLSTATE {state})")),
    (("3F", "42501"), MisconfiguredError, _PRIVILEGES),
    (
        ("28", "3D"),
        MisconfiguredError,
        "PostgreSQL refused access (SQLSTATE {state}): check user, password and database in CATCHUP_DATABASE_URL",
    ),
    (
        ("XX001", "XX002"),
        MisconfiguredError,
        "PostgreSQL says that the database is damaged (SQLSTATE {state}): see its log",
    ),
    (("25006",), TemporaryError, _STANDBY.format(state=" (SQLSTATE {state})")),
    (("53300",), TemporaryError, _NONE_FREE),
    (("40P01",), DeadlockError, "PostgreSQL is not available (SQLSTATE {state}{cause})"),
    (
        # 0B, 24 to 27, 34: what a pooler makes of a statement or transaction that another connection knows nothing of.
        ("08", "0B", "24", "25", "26", "27", "34", "40", "53", "55", "57", "58", "72", "F0", "HV", "XX000"),
        TemporaryError,
        "PostgreSQL is not available (SQLSTATE {state}{cause})",
    ),
    (
        # 38, 39, P0: a trigger of somebody else.
        ("22", "23", "38", "39", "44", "54", "P0"),
        PermanentError,
        "the database refused the data (SQLSTATE {state})",
    ),
    # Statements that are right on a database that catchup-jobs has made.
    (("",), MisconfiguredError, _STRANGE),
)
# The same of a login: of what `options` and the like hold.
_VALUE_STATES: Final = ("22", "42601", "42704")
# Why, where that is known.
_CAUSES: Final = {
    "08P01": "a pooler before it says so, see its log",
    "25P03": "a transaction was idle for too long",
    "25P04": "a transaction took too long",
    "40001": "another transaction came between",
    "40P01": "another transaction came between",
    "53100": "its disk is full",
    "53200": "it has no memory left",
    "55P03": "a lock was not free in time",
    "57014": "a statement took too long, or somebody cancelled it",
    "57P01": "it shuts down, or somebody ended the connection",
    "57P03": "it starts, stops or recovers",
    "57P05": "`idle_session_timeout` is too short",
    "58P01": "a file or library that it needs is missing: see its log",
}

# A refused connection has no SQLSTATE in psycopg, only the words of libpq, PostgreSQL or PgBouncer. They are read
# first, since they say more; `postgresql_login.py` asks for the SQLSTATE of others, such as those of a server that
# does not speak English. The first that fits gives the advice.
_WORDS: Final[tuple[tuple[tuple[str, ...], str], ...]] = (
    (
        ("unsupported startup parameter", "^connection failed: .*bad packet header"),
        "PgBouncer takes no such startup parameter: leave out what follows `?`",
    ),
    (("use SHOW HELP",), "it leads to PgBouncer's console: name the database of catchup-jobs"),
    (("bouncer config error",), "PgBouncer's settings are wrong: see its log"),
    (
        ("server login failed",),
        "PgBouncer is refused by PostgreSQL: see its log, and the user and password that it has for the server",
    ),
    (
        ("session is not read-only", "server is not in hot standby mode"),
        "`target_session_attrs` wants a server that takes no writes: leave it out",
    ),
    (
        (
            "invalid connection option",
            "invalid integer value",
            "invalid port number",
            "invalid .* value: ",
            "bad value for",
            "(cannot|could not) match",
            "invalid SSL protocol version",
            "host name must be specified",
            "could not parse network address",
            "definition of service .* not found",
            # The server's, on what `options` and `client_encoding` hold.
            "invalid value for",
            "invalid command-line argument",
            "requires a value",
            "unrecognized configuration parameter",
            "cannot be mixed with",
        ),
        _VALUE,
    ),
    (
        ("authentication method requirement", "GSSAPI encryption required"),
        "the server asks for another way to log in than `require_auth` or `gssencmode` allows",
    ),
    (
        ("pg_hba\\.conf",),
        "the server's pg_hba.conf admits no such login from here: see user, database and address there, and sslmode",
    ),
    (
        (
            "certificate",
            "private (SSL )?key",
            "does not support SSL",
            "(SSL|TLS)( connection)?( is)? required",
            "alert",
            "channel binding",
            "wrong version number",
        ),
        "TLS cannot be agreed on: check sslmode, sslrootcert and the server's certificate",
    ),
    (
        (
            "auth(entication)? failed",
            "no password supplied",
            "no such user",
            "not permitted to log in",
            "login rejected",
            "not allowed",
        ),
        "user or password is refused, or the server admits nobody from here",
    ),
    (("permission denied for database",), "the role may not connect to the database: grant it CONNECT"),
    (
        ("does not exist", "no such database"),
        "there is no such database or user",
    ),
    # Whatever else libpq says before it has tried a host.
    (("^connection is bad: (?!connection to server|could not (translate|create|look up))",), _VALUE),
)
_REFUSALS: Final = tuple((re.compile("|".join(words)), advice) for words, advice in _WORDS)

# The same of what passes.
_CLOSED: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (
        re.compile(
            "too many (connections|clients)|remaining connection slots|no more connections allowed|query_wait_timeout"
        ),
        _NONE_FREE,
    ),
    (
        re.compile("server_login_retry|server down|cannot connect to server|server DNS lookup failed"),
        "PgBouncer does not reach PostgreSQL, or cannot log in there: see its log",
    ),
    (
        re.compile("connection timeout expired"),
        _SILENT,
    ),
    (
        re.compile("idle transaction timeout|query timeout|client_idle_timeout|server conn crashed"),
        "PgBouncer ended the connection: by a timeout of its settings, or since PostgreSQL did; see its log",
    ),
    (
        re.compile("received invalid response to|expected authentication request"),
        "what answers at CATCHUP_DATABASE_URL's host is no PostgreSQL: check host and port",
    ),
    (
        re.compile("hot standby mode|session is read-only"),
        _STANDBY.format(state=""),
    ),
    (
        re.compile(
            "not (currently |yet )?accepting|starting up|shutting down|in recovery mode|(database|pooler).*disabled"
        ),
        "PostgreSQL, or PgBouncer, takes no connections to this database now: see its log if that lasts",
    ),
)
# Names come with the words, and may hold any of them.
_QUOTED: Final = re.compile(r"\"[^\"]*\"|(?<=\s)'[^']*'")
# What psycopg writes before the words of a connection that was not made; a value that it refuses itself has no such.
_CONNECTING: Final = re.compile(
    r"connection (is bad|failed): |connection timeout expired|failed to resolve host|could not match"
)
# PgBouncer's words have no SQLSTATE of their own: 08P01 stands for everything.
_OF_POOLER: Final = "08P01"
_STATEMENT_POOLING: Final = "statement pooling mode"


def classify_postgresql(error: DBAPIError) -> JobError | None:
    """Return what the error means, or None where it is a bug of this program; the message holds none of its words."""
    state = getattr(error.orig, "sqlstate", None)
    said = str(error.orig)
    if state is None:
        return _without_state(error, said)
    if _STATEMENT_POOLING in said:
        return MisconfiguredError("PgBouncer has `pool_mode = statement`: set it to `transaction` or `session`")
    if state == _OF_POOLER and (meant := _by_words(said)) is not None:
        return meant
    if _CONNECTING.match(said) and state.startswith(_VALUE_STATES):
        return MisconfiguredError(_REFUSED.format(advice=_VALUE))
    cause = f": {_CAUSES[state]}" if state in _CAUSES else ""
    meaning, message = next((meaning, message) for states, meaning, message in _STATES if state.startswith(states))
    return meaning(message.format(state=state, cause=cause))  # type: ignore[call-arg]  # each has a reason by default


def says_why(error: Exception) -> bool:
    """Return whether the words of a connection that was not made are known here."""
    return _by_words(str(error)) is not None


def _without_state(error: DBAPIError, said: str) -> JobError | None:
    if isinstance(error, DataError | IntegrityError):
        return PermanentError(f"the database refused the data ({type(error.orig).__name__})")
    # Of a connection that is lost psycopg says what it could not do then ("not allowed in pipeline mode").
    if (_CONNECTING.match(said) or isinstance(error, ProgrammingError)) and (meant := _by_words(said)) is not None:
        return meant
    if error.connection_invalidated or type(error.orig).__name__ in {"OperationalError", "ConnectionTimeout"}:
        return TemporaryError(
            "PostgreSQL cannot be reached, or the connection was lost: check that CATCHUP_DATABASE_URL's host answers"
        )
    return None


def _by_words(said: str) -> JobError | None:
    words = _QUOTED.sub('""', said)
    for pattern, advice in _REFUSALS:
        if pattern.search(words):
            return MisconfiguredError(_REFUSED.format(advice=advice))
    for pattern, message in _CLOSED:
        if pattern.search(words):
            return TemporaryError(message)
    return None
