from __future__ import annotations

import socket
from pathlib import Path

import pytest

from catchup_operator.options import InvalidOptionError, Options


def test_defaults() -> None:
    found = Options.from_env({})
    assert found == Options((), Path("/etc/catchup/job-template.yaml"), False, None, 10.0, 0, socket.gethostname())


def test_values_are_read() -> None:
    env = {
        "CATCHUP_NAMESPACES": "people, friends,",
        "CATCHUP_JOB_TEMPLATE_FILE": "/t.yaml",
        "CATCHUP_LOG_LEVEL": "debug",
        "CATCHUP_HEALTH_PORT": "8080",
        "CATCHUP_ROLL_PER_SECOND": "0.5",
        "CATCHUP_MEMBER_WRITES_PER_SECOND": "2",
        "CATCHUP_DIGEST_SPREAD_MINUTES": "30",
        "CATCHUP_RELEASE": "people/catchup-jobs",
    }
    wanted = Options(("people", "friends"), Path("/t.yaml"), True, 8080, 0.5, 30, "people/catchup-jobs", 2.0)
    assert Options.from_env(env) == wanted


def test_metrics_over_tls_have_a_port_of_their_own() -> None:
    env = {"CATCHUP_HEALTH_PORT": "8080", "CATCHUP_METRICS_TLS": "/tls"}
    found = Options.from_env(env)
    assert (found.metrics_tls, found.metrics_port) == (Path("/tls"), 8443)
    assert Options.from_env(env | {"CATCHUP_METRICS_PORT": "9443"}).metrics_port == 9443
    with pytest.raises(InvalidOptionError, match="CATCHUP_METRICS_TLS needs CATCHUP_HEALTH_PORT"):
        Options.from_env({"CATCHUP_METRICS_TLS": "/tls"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((f"CATCHUP_{of}_PORT", value) for of in ("HEALTH", "METRICS") for value in ("0", "65536", "x", "-1", "٣")),
        ("CATCHUP_LOG_LEVEL", "DEBUG"),
        ("CATCHUP_LOG_LEVEL", "trace"),
        *(("CATCHUP_ROLL_PER_SECOND", value) for value in ("0", "0.000", "-1", "nan", "inf", "1e9", "fast", "٣")),
        *(("CATCHUP_MEMBER_WRITES_PER_SECOND", value) for value in ("0", "-1", "10000")),
        *(("CATCHUP_DIGEST_SPREAD_MINUTES", value) for value in ("-1", "241", "0.5", "1h", "٣")),
        *(("CATCHUP_RELEASE", value) for value in ("a b", "a\n", "ü", "a" * 254)),
    ],
)
def test_a_bad_value_is_refused_by_the_variables_name(name: str, value: str) -> None:
    with pytest.raises(InvalidOptionError, match=name):
        Options.from_env({name: value})
