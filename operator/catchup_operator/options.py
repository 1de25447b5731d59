"""The operator's options, from the environment."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from catchup_contract.access_review import MetricsAccess
from catchup_contract.digest_rule import SPREAD_MAX
from catchup_contract.serving_certificate import METRICS_PORT_TLS

ENV_NAMESPACES: Final = "CATCHUP_NAMESPACES"
ENV_JOB_TEMPLATE: Final = "CATCHUP_JOB_TEMPLATE_FILE"
ENV_HEALTH_PORT: Final = "CATCHUP_HEALTH_PORT"
ENV_LOG_LEVEL: Final = "CATCHUP_LOG_LEVEL"
ENV_ROLL_PER_SECOND: Final = "CATCHUP_ROLL_PER_SECOND"
ENV_MEMBER_WRITES_PER_SECOND: Final = "CATCHUP_MEMBER_WRITES_PER_SECOND"
ENV_DIGEST_SPREAD: Final = "CATCHUP_DIGEST_SPREAD_MINUTES"
ENV_RELEASE: Final = "CATCHUP_RELEASE"
ENV_METRICS_ACCESS: Final = "CATCHUP_METRICS_ACCESS"
ENV_METRICS_TLS: Final = "CATCHUP_METRICS_TLS"
ENV_METRICS_PORT: Final = "CATCHUP_METRICS_PORT"

# Name, default and meaning of each variable, for docs/configuration.md. `run --help` names them, too.
VARIABLES: Final = (
    (ENV_NAMESPACES, "all", "the namespaces to serve, separated by commas"),
    (
        ENV_JOB_TEMPLATE,
        "/etc/catchup/job-template.yaml",
        "the file with the image, env and pod settings of the jobs, as the chart renders it",
    ),
    (ENV_HEALTH_PORT, "none", "the port on which `/healthz`, `/readyz` and `/metrics` are served"),
    (ENV_LOG_LEVEL, "info", "what is logged: `info`, or `debug` for each step of the reconciliation"),
    (ENV_ROLL_PER_SECOND, "10", "the rate of the rollout of a changed job template, in UserSchedules per second"),
    (
        ENV_MEMBER_WRITES_PER_SECOND,
        "5",
        "how many writes a second may tell of members of pools who are in trouble, or not any more",
    ),
    (
        ENV_DIGEST_SPREAD,
        "0",
        "the window in minutes over which digests are spread after their chosen time, by the user's id",
    ),
    (
        ENV_RELEASE,
        "the host's name",
        "the identity by which this operator holds the Lease of each namespace; the chart sets `<namespace>/<name>`",
    ),
    (
        ENV_METRICS_ACCESS,
        "open",
        "who may read `/metrics`: `open` (everybody) or `reviewed` (whose token may `get` the path `/metrics`)",
    ),
    (
        ENV_METRICS_TLS,
        "none",
        "a folder with `tls.crt` and `tls.key` that may be renewed: `/metrics` is served by HTTPS, on its own port",
    ),
    (ENV_METRICS_PORT, str(METRICS_PORT_TLS), "the port of `/metrics` by HTTPS"),
)

DIGEST_SPREAD_MAX: Final = SPREAD_MAX // timedelta(minutes=1)
_PORT_MAX: Final = 65535
_LOG_LEVELS: Final = ("info", "debug")
_ROLL_PER_SECOND: Final = "10"
_MEMBER_WRITES_PER_SECOND: Final = "5"


class InvalidOptionError(ValueError):
    """A variable of the environment has an invalid value. The message names it and what is allowed."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one installation.

    Attributes:
        namespaces: the namespaces to serve; empty for all.
        job_template: the file of the job template.
        verbose: whether each step of the reconciliation is logged.
        health_port: the port of `/healthz`, `/readyz` and `/metrics`, or None.
        roll_per_second: the rate of the rollout of a changed job template, in UserSchedules per second.
        member_writes_per_second: how many writes a second may tell of members of pools who are in trouble.
        digest_spread: the window in minutes over which digests are spread after their chosen time.
        release: the identity by which the operator holds the Lease of each served namespace.
        review_metrics: whether the API server is asked who may read `/metrics`.
        metrics_tls: the folder of the certificate by which `/metrics` is served on a port of its own, or None.
        metrics_port: that port.
    """

    namespaces: tuple[str, ...]
    job_template: Path
    verbose: bool
    health_port: int | None
    roll_per_second: float
    digest_spread: int
    release: str
    member_writes_per_second: float = float(_MEMBER_WRITES_PER_SECOND)
    review_metrics: bool = False
    metrics_tls: Path | None = None
    metrics_port: int = METRICS_PORT_TLS

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Options:
        """Read the variables named above. Raises InvalidOptionError."""
        port = _port(env, ENV_HEALTH_PORT)
        level = env.get(ENV_LOG_LEVEL) or "info"
        if level not in _LOG_LEVELS:
            raise InvalidOptionError(f"{ENV_LOG_LEVEL} must be {' or '.join(_LOG_LEVELS)}, not {level!r}")
        spread = env.get(ENV_DIGEST_SPREAD) or "0"
        if not re.fullmatch(r"[0-9]{1,3}", spread) or int(spread) > DIGEST_SPREAD_MAX:
            raise InvalidOptionError(
                f"{ENV_DIGEST_SPREAD} must be a number of minutes, at most {DIGEST_SPREAD_MAX}, not {spread!r}"
            )
        release = env.get(ENV_RELEASE) or socket.gethostname()
        if not re.fullmatch(r"[A-Za-z0-9_./:@-]{1,253}", release):
            raise InvalidOptionError(f"{ENV_RELEASE} must be at most 253 letters, digits and ./:@_-, not {release!r}")
        access = env.get(ENV_METRICS_ACCESS) or MetricsAccess.OPEN
        if access not in set(MetricsAccess):
            raise InvalidOptionError(f"{ENV_METRICS_ACCESS} must be open or reviewed, not {access!r}")
        tls = env.get(ENV_METRICS_TLS)
        if tls and port is None:
            raise InvalidOptionError(f"{ENV_METRICS_TLS} needs {ENV_HEALTH_PORT}: without it, nothing is served")
        return cls(
            namespaces=served(env),
            job_template=Path(env.get(ENV_JOB_TEMPLATE) or "/etc/catchup/job-template.yaml"),
            verbose=level == "debug",
            health_port=port,
            roll_per_second=_rate(env, ENV_ROLL_PER_SECOND, _ROLL_PER_SECOND),
            member_writes_per_second=_rate(env, ENV_MEMBER_WRITES_PER_SECOND, _MEMBER_WRITES_PER_SECOND),
            digest_spread=int(spread),
            release=release,
            review_metrics=access == MetricsAccess.REVIEWED,
            metrics_tls=Path(tls) if tls else None,
            metrics_port=_port(env, ENV_METRICS_PORT) or METRICS_PORT_TLS,
        )


def _port(env: Mapping[str, str], name: str) -> int | None:
    port = env.get(name, "")
    if port and not (re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) <= _PORT_MAX):
        raise InvalidOptionError(f"{name} must be a port number, not {port!r}")
    return int(port) if port else None


def _rate(env: Mapping[str, str], name: str, default: str) -> float:
    rate = env.get(name) or default
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", rate) or not float(rate):
        raise InvalidOptionError(f"{name} must be a number above 0 and below 10000, not {rate!r}")
    return float(rate)


def served(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the namespaces that the operator serves; empty for all."""
    names = (name.strip() for name in env.get(ENV_NAMESPACES, "").split(","))
    return tuple(name for name in names if name)


def listen(port: int, name: str = ENV_HEALTH_PORT) -> socket.socket:
    """Return a socket that listens on all addresses of the pod; `name` is the port's variable.

    Raises:
        InvalidOptionError: the port cannot be used.
    """
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise InvalidOptionError(
            f"{name}: port {port} cannot be used ({reason}); stop what uses it, or name another"
        ) from None
