"""The operator's settings, from the environment, and how kopf is set up; each with its reason."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import kopf

from catchup_operator.kopf_glue.backpressure import PAGE
from catchup_operator.kopf_glue.reads import Backoffs
from catchup_operator.kopf_glue.storages import ByGeneration, NoProgress

ENV_NAMESPACES: Final = "CATCHUP_NAMESPACES"
ENV_JOB_TEMPLATE: Final = "CATCHUP_JOB_TEMPLATE_FILE"
ENV_HEALTH_PORT: Final = "CATCHUP_HEALTH_PORT"
ENV_ROLL_PER_SECOND: Final = "CATCHUP_ROLL_PER_SECOND"
ENV_DIGEST_SPREAD: Final = "CATCHUP_DIGEST_SPREAD_MINUTES"

# Name, default and meaning of each variable: what `run --help` and docs/configuration.md say.
VARIABLES: Final = (
    (ENV_NAMESPACES, "all", "the namespaces to serve, separated by commas"),
    (
        ENV_JOB_TEMPLATE,
        "/etc/catchup/job-template.yaml",
        "the file with the image, env and pod settings of the jobs, as the chart renders it",
    ),
    (ENV_HEALTH_PORT, "none", "the port on which `/healthz`, `/readyz` and `/metrics` are served"),
    (ENV_ROLL_PER_SECOND, "10", "how many UserSchedules a second get their CronJobs anew after an upgrade"),
    (ENV_DIGEST_SPREAD, "0", "over how many minutes after their chosen time digests are spread, by the user's id"),
)

DIGEST_SPREAD_MAX: Final = 240
_PORT_MAX: Final = 65535
_REQUEST_SECONDS: Final = 30
# The API server sends a bookmark about every minute.
_WATCH_SILENCE_SECONDS: Final = 70
_ROLL_PER_SECOND: Final = "10"


class InvalidOptionError(ValueError):
    """A variable of the environment has no usable value; the message names it and what is allowed."""


@dataclass(frozen=True, slots=True)
class Options:
    """What one installation of the operator is told.

    Attributes:
        namespaces: the namespaces to serve; empty for all.
        job_template: the file with the installation's part of a job's pod.
        roll_per_second: how many UserSchedules a second are rolled when the job template has changed.
        health_port: where `/healthz` and `/readyz` are served, or None.
        digest_spread: over how many minutes after their chosen time digests are spread.
    """

    namespaces: tuple[str, ...]
    job_template: Path
    health_port: int | None
    roll_per_second: float
    digest_spread: int

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Options:
        """Read the variables named above. Raises InvalidOptionError."""
        port = env.get(ENV_HEALTH_PORT, "")
        if port and not (re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) <= _PORT_MAX):
            raise InvalidOptionError(f"{ENV_HEALTH_PORT} must be a port number, not {port!r}")
        rate = env.get(ENV_ROLL_PER_SECOND) or _ROLL_PER_SECOND
        if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", rate) or not float(rate):
            raise InvalidOptionError(f"{ENV_ROLL_PER_SECOND} must be a number above 0 and below 10000, not {rate!r}")
        spread = env.get(ENV_DIGEST_SPREAD) or "0"
        if not re.fullmatch(r"[0-9]{1,3}", spread) or int(spread) > DIGEST_SPREAD_MAX:
            raise InvalidOptionError(
                f"{ENV_DIGEST_SPREAD} must be a number of minutes, at most {DIGEST_SPREAD_MAX}, not {spread!r}"
            )
        names = (name.strip() for name in env.get(ENV_NAMESPACES, "").split(","))
        return cls(
            namespaces=tuple(name for name in names if name),
            job_template=Path(env.get(ENV_JOB_TEMPLATE) or "/etc/catchup/job-template.yaml"),
            health_port=int(port) if port else None,
            roll_per_second=float(rate),
            digest_spread=int(spread),
        )


def listen(port: int) -> socket.socket:
    """Take the health port, on all addresses of the pod. Raises InvalidOptionError."""
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise InvalidOptionError(
            f"{ENV_HEALTH_PORT}: port {port} cannot be had ({why}); end what uses it, or name another"
        ) from None


def configure_kopf(settings: kopf.OperatorSettings) -> None:
    """Fill in kopf's settings."""
    settings.persistence.diffbase_storage = ByGeneration()
    settings.persistence.progress_storage = NoProgress()
    # The CRD is installed with the operator: no watch on definitions, no permission for it.
    settings.scanning.disabled = True
    settings.watching.chunk_size = PAGE
    settings.watching.inactivity_timeout = _WATCH_SILENCE_SECONDS
    settings.networking.request_timeout = _REQUEST_SECONDS
    settings.networking.error_backoffs = Backoffs()
    # kopf would post an Event for each handler that succeeded.
    settings.posting.level = logging.WARNING
    # kopf's workers would wait for the event of their own write, which does not come before the list has ended; what
    # was written we know ourselves (unseen.py).
    settings.persistence.consistency_timeout = 0
    # Few workers that end soon: their number bounds the memory; connections bound the speed.
    settings.queueing.worker_limit = 20
    settings.queueing.idle_timeout = 0.01
