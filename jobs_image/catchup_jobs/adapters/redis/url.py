"""CATCHUP_REDIS_URL: what it may say, read without a connection."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from catchup_jobs.adapters.server_url import ServerUrl
from catchup_jobs.jobs.run.errors import MisconfiguredError

# The client's own names, as other programs with this client know them in URLs.
_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TLS: Final[dict[str, dict[str, str | bool]]] = {
    "ssl_cert_reqs": {"none": "none", "optional": "optional", "required": "required"},
    "ssl_check_hostname": {"true": True, "false": False},
}
_SENTINEL: Final = ("sentinel_username", "sentinel_password")


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """A Redis, or the Sentinels that know where it is.

    Attributes:
        addresses: hosts and ports: of the Redis, or of the Sentinels where `service` is its name there.
        service: None without Sentinels.
        options: keyword arguments of a connection to the Redis.
        sentinel_options: of a connection to a Sentinel.
    """

    addresses: tuple[tuple[str, int], ...]
    service: str | None
    options: dict[str, Any] = field(repr=False)
    sentinel_options: dict[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> RedisUrl:
        """Read a URL.

        `redis://user:password@host:6379/0`, with TLS `rediss://`; by Sentinel
        `redis+sentinel://user:password@host:26379,host:26379/service/0`; `unix:///path?db=0`.

        Raises:
            MisconfiguredError: never repeats the text, which may hold a password.
        """
        try:
            url = ServerUrl.parse(text)
            return _READERS.get(url.scheme, _refuse_scheme)(url)
        except ValueError as error:
            raise MisconfiguredError(
                f"CATCHUP_REDIS_URL is not a URL such as redis://user:password@host:6379/0: {error}"
            ) from None


def _refuse_scheme(_url: ServerUrl) -> RedisUrl:
    raise ValueError(f"it must begin with {', '.join(f'{scheme}://' for scheme in _READERS)}")


def _by_socket(url: ServerUrl) -> RedisUrl:
    _refuse_unknown(url, ("db",))
    options = _login(url) | {"db": _database(url.query.get("db", "")), "unix_socket_path": f"/{url.path}"}
    return RedisUrl((), None, options, {})


def _direct(url: ServerUrl) -> RedisUrl:
    if len(url.hosts) > 1:
        raise ValueError("several hosts are Sentinels, which want redis+sentinel://")
    tls = _tls(url, ("db",))
    ((host, port),) = url.hosts
    options = _login(url) | tls | {"db": _database(url.query.get("db") or url.path)}
    return RedisUrl(((host or "localhost", port or 6379),), None, options, {})


def _by_sentinel(url: ServerUrl) -> RedisUrl:
    tls = _tls(url, ("db", *_SENTINEL))
    service, _, database = url.path.partition("/")
    if not service:
        raise ValueError("after the Sentinels' hosts it must name their service, as in host:26379/mymaster/0")
    login = {name.removeprefix("sentinel_"): url.query[name] for name in _SENTINEL if name in url.query}
    return RedisUrl(
        tuple((host or "localhost", port or 26379) for host, port in url.hosts),
        service,
        _login(url) | tls | {"db": _database(url.query.get("db") or database)},
        login | tls,
    )


def _login(url: ServerUrl) -> dict[str, Any]:
    return {"username": url.username, "password": url.password}


def _database(text: str) -> int:
    text = text.strip("/")
    if text and not (text.isascii() and text.isdigit() and len(text) <= 5):  # noqa: PLR2004 - far beyond any
        raise ValueError("the database must be a number, such as 0")
    return int(text or 0)


def _tls(url: ServerUrl, others: tuple[str, ...]) -> dict[str, Any]:
    _refuse_unknown(url, (*_FILES, *_TLS, *others))
    named = {name: value for name, value in url.query.items() if name.startswith("ssl_")}
    if not url.scheme.startswith("rediss"):
        if named:
            raise ValueError(f"{', '.join(sorted(named))}: only with rediss://")
        return {}
    options: dict[str, Any] = {"ssl": True}
    for name, value in named.items():
        if name in _FILES:
            if not _is_readable(value):
                raise ValueError(f"{name} names no file that can be read")
            options[name] = value
        elif value.lower() in _TLS[name]:
            options[name] = _TLS[name][value.lower()]
        else:
            raise ValueError(f"{name} must be one of {', '.join(_TLS[name])}")
    return options


def _is_readable(path: str) -> bool:
    try:
        with Path(path).open("rb"):
            return True
    except OSError:
        return False


def _refuse_unknown(url: ServerUrl, known: tuple[str, ...]) -> None:
    if set(url.query) - set(known):
        raise ValueError(f"after `?` it may have {', '.join(known)}")


_READERS: Final = {
    "redis": _direct,
    "rediss": _direct,
    "redis+sentinel": _by_sentinel,
    "rediss+sentinel": _by_sentinel,
    "unix": _by_socket,
}
