"""Clients of outside servers for a process that serves several users at once."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from catchup_jobs.cli.resources import Clients


@dataclass
class ThreadClients:
    """The clients of each thread, which keeps its connections from one user to the next."""

    _of_thread: threading.local = field(default_factory=threading.local)
    _made: list[Clients] = field(default_factory=list)

    def get(self) -> Clients:
        """Return the clients of the calling thread."""
        clients: Clients | None = getattr(self._of_thread, "clients", None)
        if clients is None:
            clients = self._of_thread.clients = Clients()
            self._made.append(clients)
        return clients

    def close(self) -> None:
        """Close those of all threads."""
        for clients in self._made:
            clients.close()
