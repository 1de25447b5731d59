"""Python client of the double's control API. Standard library only."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from functools import partial
from typing import Any

DEFAULT_URL = "http://127.0.0.1:8970"


class ControlError(Exception):
    """The double refused a command or cannot be reached."""


class GoogleDouble:
    """Drives a running double. Each method of `control.Control` is a method here, with the same arguments:

    double = GoogleDouble("http://127.0.0.1:8970")
    double.add_user("ada@example.com", time_zone="Europe/Berlin")
    double.add_event("ada@example.com", "dentist", title="Dentist", at="+1d 15:00")
    double.add_fault(kind="events", page=3, status=503)
    """

    def __init__(self, url: str = DEFAULT_URL, *, timeout: float = 10) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout

    @property
    def api_endpoint(self) -> str:
        """The value of `CATCHUP_GOOGLE_API_ENDPOINT`."""
        return f"{self.url}/calendar/v3/"

    @property
    def token_uri(self) -> str:
        """The value of `CATCHUP_GOOGLE_TOKEN_URI`."""
        return f"{self.url}/token"

    @property
    def auth_uri(self) -> str:
        """Where a browser gives consent."""
        return f"{self.url}/o/oauth2/v2/auth"

    def call(self, command: str, /, *arguments: Any, **named: Any) -> Any:
        """Run a command of the control API and return its result.

        Raises:
            ControlError: the double refuses it, or does not answer.
        """
        body = json.dumps({"call": command, "args": arguments, "named": named}).encode()
        request = urllib.request.Request(f"{self.url}/control", data=body, method="POST")  # noqa: S310 - http, given by us
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as response:  # noqa: S310
                return json.load(response)["result"]
        except urllib.error.HTTPError as error:
            with error:
                raise ControlError(json.load(error)["error"]) from None
        except OSError as error:
            raise ControlError(f"no double at {self.url}: {error}") from None

    def __getattr__(self, command: str) -> Any:
        if command.startswith("_"):
            raise AttributeError(command)

        return partial(self.call, command)

    def count(self, kind: str, **having: Any) -> int:
        """Return how many requests of a kind were made, e.g. `count("events", sync="full")`."""
        return sum(
            entry["kind"] == kind and all(entry[name] == value for name, value in having.items())
            for entry in self.call("requests")
        )
