"""Python client of the double's control API. Standard library only."""

from __future__ import annotations

from typing import Any

from catchup_dev.doubles.client import ControlClient, ControlError

__all__ = ["DEFAULT_URL", "ControlError", "GoogleDouble"]

DEFAULT_URL = "http://127.0.0.1:8970"


class GoogleDouble(ControlClient):
    """Drives a running double. Each method of `control.Control` is a method here, with the same arguments:

    double = GoogleDouble("http://127.0.0.1:8970")
    double.add_user("ada@example.com", time_zone="Europe/Berlin")
    double.add_event("ada@example.com", "dentist", title="Dentist", at="+1d 15:00")
    double.add_fault(kind="events", page=3, status=503)
    """

    def __init__(self, url: str = DEFAULT_URL, *, timeout: float = 10) -> None:
        super().__init__(url, timeout=timeout)

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

    def count(self, kind: str, **having: Any) -> int:
        """Return how many requests of a kind were made, e.g. `count("events", sync="full")`."""
        return sum(
            entry["kind"] == kind and all(entry[name] == value for name, value in having.items())
            for entry in self.call("requests")
        )
