"""URLs of servers as people write them: several hosts, and passwords with signs that a URL should have escaped."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

_HOST: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[\w.~%-]*)(?::(?P<port>[0-9]{1,5})?)?")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_MAX_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """The parts of `scheme://user:password@host:port,host:port/path?name=value`, decoded.

    Attributes:
        scheme: in lower case.
        hosts: names (empty: the client's default) and ports (None: likewise), one at least.
        path: without the first slash.
    """

    scheme: str
    username: str | None
    password: str | None = field(repr=False)
    hosts: tuple[tuple[str, int | None], ...]
    path: str
    query: dict[str, str] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> ServerUrl:
        """Read a URL.

        The part with the hosts ends at `/`, `?` or `#`, and the password at its last `@`, as in the URL Standard
        (https://url.spec.whatwg.org/). Where that gives no hosts, the password holds such a sign and ends at the only
        `@`. What may be read in two ways is refused: a wrong guess would send a part of the password to a name server.

        Raises:
            ValueError: it is no such URL. The message repeats nothing of it.
        """
        if any(ord(sign) < ord(" ") for sign in unquote(text)):
            raise ValueError("it holds control characters")
        scheme, separator, rest = text.partition("://")
        if not separator or not _SCHEME.fullmatch(scheme):
            raise ValueError("it does not begin with a scheme and `://`")
        authority, tail = _before_any(rest, "/?#")
        userinfo, _, hostlist = authority.rpartition("@")
        hosts = _hosts(hostlist)
        if hosts is None and rest.count("@") == 1:
            userinfo, _, rest = rest.partition("@")
            hostlist, tail = _before_any(rest, "/?#")
            hosts = _hosts(hostlist)
        if hosts is None or "@" in tail or tail.startswith("#"):
            raise ValueError("user, password, host and port cannot be told apart: write `@:/?#%` in them as `%40` …")
        username, colon, password = userinfo.partition(":")
        path, _, query = tail.partition("?")
        try:
            return cls(
                scheme.lower(),
                _decoded(username) or None,
                _decoded(password) if colon else None,
                hosts,
                _decoded(path.removeprefix("/")),
                _parameters(query),
            )
        except UnicodeDecodeError:
            raise ValueError("it escapes what is not UTF-8") from None


def _before_any(text: str, signs: str) -> tuple[str, str]:
    end = next((at for at, sign in enumerate(text) if sign in signs), len(text))
    return text[:end], text[end:]


def _hosts(text: str) -> tuple[tuple[str, int | None], ...] | None:
    matches = [_HOST.fullmatch(part) for part in text.split(",")]
    if not all(match and int(match["port"] or 0) <= _MAX_PORT and _is_name(match["name"]) for match in matches):
        return None
    return tuple((unquote(match["name"]).strip("[]"), int(match["port"] or 0) or None) for match in matches if match)


def _is_name(text: str) -> bool:
    try:
        unquote(text, errors="strict").encode("idna")  # as Python's sockets will
    except UnicodeError:
        return text.startswith(("%2f", "%2F"))  # a directory of sockets
    return True


def _parameters(query: str) -> dict[str, str]:
    parameters = {}
    for pair in filter(None, query.split("&")):
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError("what follows `?` must be name=value, separated by `&`")
        parameters[_decoded(name)] = _decoded(value)
    return parameters


def _decoded(text: str) -> str:
    # Unlike in forms, `+` is a plus; a `%` that escapes nothing is itself.
    return unquote(text, errors="strict")
