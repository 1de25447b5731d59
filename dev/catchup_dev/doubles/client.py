"""Python client of a double's control API. Standard library only."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from functools import partial
from typing import Any


class ControlError(Exception):
    """The double refused a command or cannot be reached."""


class ControlClient:
    """Drives a running double: each public method of its `Control` is a method here, with the same arguments."""

    def __init__(self, url: str, *, timeout: float = 10) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout

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
