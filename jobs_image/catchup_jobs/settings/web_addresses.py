"""Settings that are addresses on the web: what no client could use is refused before anything is asked."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator


def _server(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        # A port that is no number, a bracket without its other.
        usable = False
    if not usable or not value.isprintable() or any(sign.isspace() for sign in value):
        raise ValueError("must be an address such as https://app.example.com/catchup")
    return value


def _base(value: str) -> str:
    parts = urlsplit(value)
    if parts.query or parts.fragment:
        raise ValueError("must be an address such as https://app.example.com/catchup, without `?` and `#`")
    return value.rstrip("/")


Page = Annotated[str, AfterValidator(_server)]
"""A page or a server's endpoint."""
BaseUrl = Annotated[Page, AfterValidator(_base)]
"""What paths are put behind."""
